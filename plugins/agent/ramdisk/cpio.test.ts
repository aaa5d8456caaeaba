import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type CpioNode, cpio } from './cpio.ts';

const file = (text: string, mode = 0o644): CpioNode => ({ kind: 'file', mode, content: Buffer.from(text) });
const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function unpack(archive: Buffer): string {
  const directory = mkdtempSync(join(tmpdir(), 'overdub-cpio-'));
  directories.push(directory);
  const result = spawnSync('cpio', ['-i', '--quiet'], { input: archive, cwd: directory });
  expect(result.stderr.toString()).toBe('');
  expect(result.status).toBe(0);
  return directory;
}

function list(archive: Buffer, ...options: string[]): string[] {
  return spawnSync('cpio', ['-t', '--quiet', ...options], { input: archive })
    .stdout.toString()
    .trim()
    .split('\n');
}

describe('cpio', () => {
  test('cpio(1) lists every entry, parents first, in byte order', () => {
    const archive = cpio(
      new Map([
        ['b', file('2')],
        ['a/deep/er', file('1')],
        ['a-', file('3')],
      ]),
    );
    expect(list(archive)).toEqual(['a', 'a-', 'a/deep', 'a/deep/er', 'b']);
  });

  test('cpio(1) unpacks contents of every length modulo 4, modes and links', () => {
    const nodes = new Map<string, CpioNode>([
      ...[0, 1, 2, 3, 4, 5].map((length): [string, CpioNode] => [`n${length}`, file('x'.repeat(length))]),
      ['bin/tool', file('#!/bin/sh\n', 0o755)],
      ['link', { kind: 'symlink', target: 'bin/tool' }],
      ['private', { kind: 'directory', mode: 0o700 }],
    ]);
    const root = unpack(cpio(nodes));
    for (const length of [0, 1, 2, 3, 4, 5])
      expect(readFileSync(join(root, `n${length}`), 'utf8')).toBe('x'.repeat(length));
    expect(statSync(join(root, 'bin/tool')).mode & 0o777).toBe(0o755);
    expect(statSync(join(root, 'private')).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(root, 'link'), 'utf8')).toBe('#!/bin/sh\n');
  });

  test('a device node carries its numbers, owners are root, times are the epoch', () => {
    const archive = cpio(new Map([['dev/console', { kind: 'device', mode: 0o600, major: 5, minor: 1 }]]));
    const [, line] = list(archive, '-v', '--numeric-uid-gid');
    expect(line).toMatch(/^crw------- +1 0 +0 +5, +1 Jan +1 +1970 dev\/console$/);
  });

  test('the same nodes in another order make the same bytes', () => {
    const nodes: [string, CpioNode][] = [
      ['z', file('1')],
      ['a/b', file('2')],
      ['m', { kind: 'symlink', target: 'z' }],
    ];
    expect(cpio(new Map(nodes)).equals(cpio(new Map(nodes.toReversed())))).toBe(true);
  });

  test('inodes are small and differ, so that nothing is taken for a hard link', () => {
    const archive = cpio(
      new Map([
        ['a', file('1')],
        ['b', file('2')],
      ]),
    ).toString('latin1');
    const inodes = [...archive.matchAll(/070701([0-9a-f]{8})/g)].map((match) => match[1]);
    expect(inodes).toEqual(['00000001', '00000002', '00000000']);
  });

  test('archives put end to end stay aligned', () => {
    for (let length = 0; length < 600; length += 97) {
      expect(cpio(new Map([['f', file('y'.repeat(length))]])).length % 512).toBe(0);
    }
  });

  test.each(['/abs', '../up', 'a//b', 'a/./b', 'a/', '', 'nul\0', 'TRAILER!!!'])(
    'refuses the path %j',
    (path) => {
      expect(() => cpio(new Map([[path, file('')]]))).toThrow(/clean relative path/);
    },
  );

  test('refuses something below a file', () => {
    expect(() =>
      cpio(
        new Map([
          ['a', file('')],
          ['a/b', file('')],
        ]),
      ),
    ).toThrow(/a\/b lies below file a/);
  });
});
