import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { placeAgent } from './agent-files.ts';

let root: string;
let dir: string;
let program: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'overdub-placed-'));
  dir = join(root, 'var/lib/overdub');
  program = join(root, 'program');
  await mkdir(dir, { recursive: true });
  await writeFile(program, 'a program');
});
afterEach(() => rm(root, { recursive: true, force: true }));

const place = () =>
  placeAgent({ url: 'http://10.0.0.1:7077', loader: program, node: program }, root, {
    server: { name: 'web-1' },
    credential: 'secret',
  });

describe('the agent in an installed server', () => {
  const names = ['node', 'loader.mjs', 'credential.json'];

  it.each(names.flatMap((name) => [name, `${name}.part`]))(
    'takes the place of a directory %s',
    async (name) => {
      await mkdir(join(dir, name, 'something'), { recursive: true });
      await place();
      expect(await readFile(join(dir, 'node'), 'utf8')).toBe('a program');
      expect(JSON.parse(await readFile(join(dir, 'credential.json'), 'utf8'))).toMatchObject({
        credential: 'secret',
      });
    },
  );

  it.each(names)('is not written through a link %s.part', async (name) => {
    const other = join(root, 'other');
    await writeFile(other, 'of somebody else');
    await symlink(other, join(dir, `${name}.part`));
    await place();
    expect(await readFile(other, 'utf8')).toBe('of somebody else');
  });
});
