/** The record that a restore or a snapshot leaves for the next snapshot: a cache, without which it goes on. */

import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readHeader } from '../../plugins/agent/program/transfer/record.ts';
import { recordRestored, restoreImage } from '../../plugins/agent/program/transfer/restore.ts';
import { treeImager } from '../../plugins/imaging-tree/imager.ts';
import { World } from './agent-world.ts';

let world: World;
let workDir: string;
let stateDir: string;
/** The log, and what the work directory held when the first file was about to be written. */
let printed: string[];
let spools: string[];

beforeEach(async () => {
  world = await World.create();
  workDir = join(world.dir, 'agent-work');
  stateDir = join(world.dir, 'state-of-the-copy');
  [printed, spools] = [[], []];
});
afterEach(() => world.end());

interface Asked {
  readonly dryRun?: boolean;
  readonly keep?: readonly string[];
  readonly only?: readonly string[];
}

/** Restores the newest snapshot to `root` and lays down the record, as tasks and commands do. */
async function restore(
  root: string,
  { dryRun = false, keep = [], only = [] }: Asked = {},
  then: () => void = () => undefined,
  afterPart?: 'keep' | 'remove',
) {
  const appliance = world.connect();
  const request = { server: 'web-1', selector: 'latest', dryRun, keep, only };
  const task = await appliance.beginRestore(request, world.signal);
  const apply: typeof treeImager.apply = (...args) => {
    spools = readdirSync(workDir);
    return treeImager.apply(...args).finally(then);
  };
  const imager = { ...treeImager, scan: treeImager.scan.bind(treeImager), apply };
  const print = (line: string) => printed.push(line);
  const context = { ...world.context(appliance, root, { imager }), workDir, print };
  const order = { ...task, server: 'web-1', excludes: [] };
  const result = await restoreImage(context, order);
  await recordRestored(context, order, stateDir, afterPart);
  return result;
}

const record = () => join(stateDir, 'record');

describe('a restore without room for its record', () => {
  it.each(['where nothing is', 'where something is'])(
    'restores all the same, and says so once: %s',
    async (where) => {
      const root = await world.smallTree();
      const snapshot = await world.snapshot(root);
      await mkdir(workDir);
      await symlink('/dev/full', join(workDir, 'restored.part'));
      const copy = await world.makeRoot('copy');
      if (where === 'where something is') await writeFile(join(copy, 'something'), 'else');
      await restore(copy);
      expect(await world.contentsOf(copy)).toEqual(await world.contentsOf(root));
      expect(printed).toEqual([expect.stringContaining('ENOSPC')]);
      expect(await readHeader(record())).toBeUndefined();
      expect(await readdir(workDir)).toEqual([]);
      expect((await world.snapshot(copy, { stateDir })).manifest).toEqual(snapshot.manifest);
    },
  );

  it('takes no record for its own that an earlier one left behind', async () => {
    await world.snapshot(await world.smallTree());
    await mkdir(workDir);
    await writeFile(join(workDir, 'restored'), 'left behind');
    await symlink('/dev/full', join(workDir, 'restored.part'));
    await restore(await world.makeRoot('copy'));
    expect(await readdir(workDir)).toEqual([]);
    expect(await readHeader(record())).toBeUndefined();
  });
});

it('a snapshot whose record cannot be kept stands, and the next one does without', async () => {
  const root = await world.smallTree();
  await mkdir(stateDir);
  await symlink('/dev/full', join(stateDir, 'record.head.part'));
  const print = (line: string) => printed.push(line);
  const snapshot = await world.snapshot(root, { stateDir, print });
  expect(world.policy.committed).toEqual([snapshot]);
  expect(printed).toEqual([expect.stringContaining('ENOSPC')]);
  expect(await readdir(stateDir)).not.toContain('record');
  expect((await world.snapshot(root, { stateDir, print })).manifest).toEqual(snapshot.manifest);
});

it('lays its record down in place of whatever an intruder left there', async () => {
  const root = await world.smallTree();
  const snapshot = await world.snapshot(root);
  for (const name of ['record', 'record.head', 'record.part'])
    await mkdir(join(stateDir, name, 'in the way'), { recursive: true });
  await restore(await world.makeRoot('copy'));
  expect(printed).toEqual([]);
  expect(await readHeader(record())).toMatchObject({ manifest: snapshot.manifest });
});

it('does not fail for what it cannot clear away behind it', async () => {
  const root = await world.smallTree();
  await world.snapshot(root);
  const copy = await world.makeRoot('copy');
  // Nothing can be removed below what is no directory any more.
  await restore(copy, {}, () => {
    renameSync(workDir, `${workDir}.gone`);
    writeFileSync(workDir, '');
  });
  expect(await world.contentsOf(copy)).toEqual(await world.contentsOf(root));
  expect(printed).toEqual([expect.stringContaining('ENOTDIR')]);
});

it('notes the files it writes only where all of them are its own', async () => {
  const root = await world.smallTree();
  await world.snapshot(root);
  const partly: readonly Asked[] = [{ dryRun: true }, { keep: ['etc'] }, { only: ['etc'] }];
  for (const [nth, asked] of partly.entries()) {
    await restore(await world.makeRoot(`copy ${nth}`), asked);
    expect(spools).toEqual([]);
  }
  await restore(root);
  expect(spools.sort()).toEqual(['present', 'target']);
  await restore(await world.makeRoot('copy'));
  expect(spools.sort()).toEqual(['restored.part']);
  expect(printed).toEqual([]);
});

it.each<[string, Asked]>([
  ['a dry run', { dryRun: true }],
  ['a restore but for a path', { keep: ['etc/app'] }],
  ['a restore of a path only', { only: ['etc/app'] }],
])('leaves the record that is there alone: %s', async (_, asked) => {
  const root = await world.smallTree();
  await world.snapshot(root, { stateDir });
  const kept = async () =>
    Promise.all((await readdir(stateDir)).sort().map(async (name) => [name, await contentOf(name)]));
  const contentOf = (name: string) => readFile(join(stateDir, name), 'base64').catch(() => 'a directory');
  const before = await kept();
  expect(before.map(([name]) => name)).toEqual(expect.arrayContaining(['record', 'record.head']));
  await writeFile(join(root, 'etc/app/40.conf'), 'changed');
  expect(await restore(root, asked)).toMatchObject({ written: asked.keep === undefined ? 1 : 0 });
  expect(await kept()).toEqual(before);
  expect(await readdir(workDir)).toEqual([]);
  // What it tells is still true: the next snapshot sees what was changed, and by whom does not matter.
  const next = await world.snapshot(root, { stateDir });
  const copy = await world.makeRoot('copy');
  await world.restore(copy, next.id);
  expect(await world.contentsOf(copy)).toEqual(await world.contentsOf(root));
});

it('leaves no record of before where a part of a disk was restored that others may have written to', async () => {
  const root = await world.smallTree();
  await world.snapshot(root, { stateDir });
  await restore(root, { only: ['etc'] });
  expect(await readHeader(record())).toBeDefined();
  await restore(root, { only: ['etc'], dryRun: true }, undefined, 'remove');
  expect(await readHeader(record())).toBeDefined();
  await restore(root, { only: ['etc'] }, undefined, 'remove');
  expect(await readdir(stateDir)).not.toContain('record');
});

it('a snapshot stands though signatures that nobody needs any more cannot be removed', async () => {
  const root = await world.smallTree();
  await world.snapshot(root, { stateDir });
  await mkdir(join(stateDir, 'signatures', 'rsync-1', 'no signature'), { recursive: true });
  await writeFile(join(root, 'new file'), 'something');
  const print = (line: string) => printed.push(line);
  const snapshot = await world.snapshot(root, { stateDir, print });
  expect(world.policy.committed.at(-1)).toEqual(snapshot);
  expect(printed).toEqual([expect.stringContaining('signatures')]);
});
