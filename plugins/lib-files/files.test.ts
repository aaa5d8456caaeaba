import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertRoom, fileReader, memoryReader, writeAtomically } from './index.ts';

let folder: string;
const at = (name: string): string => join(folder, name);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'overdub-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

describe('writeAtomically', () => {
  it('writes all pieces, over what was there', async () => {
    await writeFile(at('made'), 'a longer text than the new one');
    await writeAtomically(at('made'), pieces('new', '', 'er'));
    expect(await readFile(at('made'), 'utf8')).toBe('newer');
    expect(await readdir(folder)).toEqual(['made']);
  });

  it('leaves the old file, and nothing else, when the pieces fail', async () => {
    await writeFile(at('made'), 'old');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield* pieces('half');
      throw new Error('no more');
    }
    await expect(writeAtomically(at('made'), failing())).rejects.toThrow('no more');
    expect(await readFile(at('made'), 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['made']);
  });

  it('names the folder that is missing', async () => {
    await expect(writeAtomically(at('none/made'), pieces('x'))).rejects.toThrow(/none/);
  });
});

describe('assertRoom', () => {
  it('lets a byte pass and refuses an exabyte, with what is free', async () => {
    await assertRoom(at('made'), 1);
    const refused = assertRoom(at('made'), 2 ** 60);
    await expect(refused).rejects.toThrow(/only \d+ are free/);
    await expect(refused).rejects.toMatchObject({ code: 'DELTA_TOO_LARGE' });
  });
});

describe.each(['file', 'memory'])('a reader of a %s', (kind) => {
  it('reads anywhere, and fewer bytes past the end', async () => {
    const bytes = Buffer.from('0123456789');
    await writeFile(at('source'), bytes);
    await using file = await open(at('source'), 'r');
    const reader = kind === 'file' ? await fileReader(file) : memoryReader(bytes);
    const read = async (offset: number, length: number): Promise<string> =>
      Buffer.from(await reader.read(offset, length)).toString();
    expect(reader.bytes).toBe(10);
    expect([await read(0, 3), await read(4, 6), await read(8, 9), await read(20, 1)]).toEqual([
      '012',
      '456789',
      '89',
      '',
    ]);
  });
});
