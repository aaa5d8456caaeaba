/** The program as machines run it: fetched by the loader, started in a process of its own, restarted at will. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { AgentBundle, SnapshotTask } from '@overdub/core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildBundle } from '../../plugins/agent/bundle.ts';
import { serverOf, World } from './agent-world.ts';

const LOADER = fileURLToPath(new URL('../../plugins/agent/loader/loader.mjs', import.meta.url));
const TREE = fileURLToPath(new URL('../../plugins/imaging-tree/imager.ts', import.meta.url));
const RSYNC = new URL('../../plugins/diff-rsync/agent.ts', import.meta.url);
const target = { server: 'web-1', where: 'server' as const };

/** A stranger's imager: trees of the directory in TOY_ROOT, wherever the agent believes to be. */
const TOY = `
import { treeImager } from ${JSON.stringify(TREE)};
const root = () => process.env.TOY_ROOT;
export default {
  name: 'imaging-toy',
  imagers: [{
    ...treeImager,
    kind: 'toy',
    scan: (_root, options) => treeImager.scan(root(), options),
    openTree: () => treeImager.openTree(root()),
  }],
};
`;

let bundles: readonly AgentBundle[];
let world: World;
let current: AgentBundle;
let state: string;
let root: string;
let agent: ChildProcess | undefined;
let output = '';

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'overdub-toy-'));
  try {
    const built: AgentBundle[] = [];
    for (const version of [1, 2]) {
      const path = join(dir, `toy-${version}.ts`);
      await writeFile(path, `${TOY}globalThis.toyVersion = ${version};\n`);
      built.push(
        await buildBundle([
          { name: 'imaging-toy', agent: pathToFileURL(path) },
          { name: 'diff-rsync', agent: RSYNC },
        ]),
      );
    }
    bundles = built;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

beforeEach(async () => {
  current = bundles[0] as AgentBundle;
  world = await World.create(async () => current);
  root = await world.makeRoot('root');
  await writeFile(join(root, 'file'), 'content');
  state = join(world.dir, 'state');
  await mkdir(state);
  await writeFile(
    join(state, 'credential.json'),
    JSON.stringify({ url: world.url, credential: 'secret', server: 'web-1', generation: 1 }),
  );
  output = '';
});

afterEach(async () => {
  await stop('SIGKILL');
  await world.end();
});

function start(): void {
  agent = spawn(process.execPath, [LOADER, '--state', state], { env: { ...process.env, TOY_ROOT: root } });
  agent.stdout?.on('data', (text) => (output += text));
  agent.stderr?.on('data', (text) => (output += text));
}

async function stop(signal: NodeJS.Signals): Promise<number | null> {
  if (agent === undefined || agent.exitCode !== null || agent.signalCode !== null) return null;
  agent.kill(signal);
  const [code] = (await once(agent, 'exit')) as [number | null];
  return code;
}

async function said(pattern: RegExp): Promise<void> {
  for (let tries = 0; !pattern.test(output); tries++) {
    if (tries > 300) throw new Error(`the agent never said ${pattern}; it said:\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function task(id: string): SnapshotTask {
  const server = { ...serverOf('web-1'), imager: 'toy' };
  return { kind: 'snapshot', id, operation: id, server, reason: 'manual', trust: 'stat', suspect: false };
}

function run(id: string) {
  const options = { signal: world.signal, onProgress: () => undefined, absenceMs: 20_000 };
  return world.gateway.run(target, task(id), options);
}

describe('the agent program', () => {
  it('is fetched, verified and started by the loader, and works with halves it never saw before', async () => {
    start();
    const { snapshot } = await run('op-1/snapshot');
    expect(snapshot).toMatchObject({ server: 'web-1', manifest: { entries: 2, bytes: 7 } });
    const [bundle] = await readdir(join(state, 'bundles'));
    expect(bundle).toBe(current.digest);
    expect(await stop('SIGTERM')).toBe(0);
  });

  it('replays the result of a task that it has done already, also after it was killed', async () => {
    start();
    const first = await run('op-1/snapshot');
    await stop('SIGKILL');
    await writeFile(join(root, 'file'), 'another content');
    start();
    const again = await run('op-1/snapshot');
    expect(again).toEqual(first);
    expect(world.policy.committed).toHaveLength(1);
    const second = await run('op-2/snapshot');
    expect(second.snapshot.stats.filesChanged).toBe(1);
  });

  it('replaces a damaged file of its bundle', async () => {
    start();
    await run('op-1/snapshot');
    await stop('SIGKILL');
    const main = join(state, 'bundles', current.digest, current.entry);
    await writeFile(main, 'not the program');
    start();
    await run('op-2/snapshot');
    expect(await readFile(main, 'utf8')).not.toBe('not the program');
  });

  it('follows the appliance to a newer bundle while it waits', async () => {
    start();
    await said(/at work/);
    current = bundles[1] as AgentBundle;
    await world.stop();
    await world.start();
    await said(/newer agent: restarting/);
    await said(new RegExp(`agent ${current.digest.slice(0, 12)} starts`));
    expect((await run('op-1/snapshot')).snapshot.server).toBe('web-1');
  });

  it('outlives a restart of the appliance', async () => {
    start();
    await run('op-1/snapshot');
    await world.stop();
    await world.start();
    expect((await run('op-2/snapshot')).snapshot.stats.filesChanged).toBe(0);
  });

  it('reports a task that it cannot do with its own error', async () => {
    start();
    const broken = { ...task('op-1/snapshot'), server: { ...serverOf('web-1'), imager: 'unknown' } };
    const options = { signal: world.signal, onProgress: () => undefined, absenceMs: 20_000 };
    await expect(world.gateway.run(target, broken, options)).rejects.toMatchObject({
      code: 'DRIVER_MISSING',
    });
  });

  it('takes snapshots on the schedule it is given', async () => {
    const { readmit } = world.policy;
    world.policy.readmit = async (identity) => {
      const admitted = await readmit.call(world.policy, identity);
      return {
        ...admitted,
        welcome: { ...admitted.welcome, schedule: { everySeconds: 1, jitterSeconds: 0 } },
      };
    };
    const { beginSnapshot } = world.policy;
    world.policy.beginSnapshot = async (identity, request) => {
      const begun = await beginSnapshot.call(world.policy, identity, request);
      return { ...begun, server: { ...begun.server, imager: 'toy' } };
    };
    start();
    for (let tries = 0; world.policy.committed.length < 2 && tries < 200; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(world.policy.committed.slice(0, 2)).toMatchObject([
      { reason: 'schedule' },
      { reason: 'schedule' },
    ]);
    expect(world.policy.ended[0]?.outcome).toHaveProperty('snapshot');
  });

  it('says clearly when it is refused, and goes on trying', async () => {
    await writeFile(join(state, 'credential.json'), JSON.stringify({ url: world.url, credential: 'wrong' }));
    start();
    await said(/The credential is wrong\. Use the right one\.; trying again in 1 s/);
  });

  it('says that it is held', async () => {
    world.policy.standing = 'held';
    start();
    await said(/held: waiting for an administrator/);
  });
});
