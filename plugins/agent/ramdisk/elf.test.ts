import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { interpreter, isElf64, neededLibraries, withoutSections } from './elf.ts';

const program = readFileSync(process.execPath);

describe('elf', () => {
  test('finds the libraries and the loader that ldd’s loader finds', () => {
    const listed = spawnSync('ldd', [process.execPath]).stdout.toString();
    const needed = neededLibraries(program);
    expect(needed).toContain('libc.so.6');
    for (const soname of needed) expect(listed).toContain(soname);
    expect(interpreter(program)).toBe('/lib64/ld-linux-x86-64.so.2');
  });

  test('a shrunk program is smaller and still runs', () => {
    const directory = mkdtempSync(join(tmpdir(), 'overdub-elf-'));
    try {
      const shrunk = withoutSections(program);
      const path = join(directory, 'node');
      writeFileSync(path, shrunk);
      chmodSync(path, 0o755);
      expect(shrunk.length).toBeLessThan(program.length);
      expect(spawnSync(path, ['-p', '6 * 7']).stdout.toString()).toBe('42\n');
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('what is no ELF file is left alone', () => {
    const script = Buffer.from('#!/bin/sh\n');
    expect(isElf64(script)).toBe(false);
    expect(neededLibraries(script)).toEqual([]);
    expect(withoutSections(script)).toBe(script);
  });
});
