import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { equalFiles } from './equal-files.ts';

const content = Buffer.alloc(2.5 * 1024 * 1024, 'overdub');
let directory: string;
let wanted: string;
let there: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'overdub-equal-'));
  wanted = join(directory, 'wanted');
  there = join(directory, 'there');
  writeFileSync(wanted, content);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('is true for the same bytes only', async () => {
  writeFileSync(there, content);
  expect(await equalFiles(wanted, there)).toBe(true);
  const last = Buffer.from(content);
  last.writeUInt8(0, last.length - 1);
  writeFileSync(there, last);
  expect(await equalFiles(wanted, there)).toBe(false);
  writeFileSync(there, content.subarray(1));
  expect(await equalFiles(wanted, there)).toBe(false);
});

it('is false for what is no regular file: nothing, a link to the same bytes, a FIFO, a directory', async () => {
  expect(await equalFiles(wanted, there)).toBe(false);
  symlinkSync(wanted, there);
  expect(await equalFiles(wanted, there)).toBe(false);
  rmSync(there);
  execFileSync('mkfifo', [there]);
  expect(await equalFiles(wanted, there)).toBe(false);
  rmSync(there);
  mkdirSync(there);
  expect(await equalFiles(wanted, there)).toBe(false);
});

it('fails when what is wanted is missing', async () => {
  await expect(equalFiles(join(directory, 'gone'), there)).rejects.toThrow(/ENOENT/);
});
