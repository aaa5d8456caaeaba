/** The cases of a codec's {@link FileFeature}. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FileFeature, FileOptions } from '../../contracts/delta-codec.ts';
import { createRandom, damaged, databasePages, deltaSamples, editPages, noise } from './delta-samples.ts';

export function deltaFilesConformance(feature: FileFeature): void {
  describe('files', () => {
    let folder: string;
    const path = (name: string): string => join(folder, name);
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'overdub-codec-'));
    });
    afterEach(() => rm(folder, { recursive: true }));

    const write = async (base: Uint8Array, target: Uint8Array): Promise<void> => {
      await writeFile(path('base'), base);
      await writeFile(path('target'), target);
    };
    const delta = (options?: FileOptions): Promise<void> =>
      feature.delta(path('base'), path('target'), path('delta'), options);
    const patch = (options?: FileOptions): Promise<void> =>
      feature.patch(path('base'), path('delta'), path('made'), options);

    it.each(deltaSamples(8 * 1024 * 1024))('$title', async ({ base, target }) => {
      await write(base, target);
      await delta();
      await patch();
      expect(Buffer.compare(await readFile(path('made')), target)).toBe(0);
      expect((await readdir(folder)).sort()).toEqual(['base', 'delta', 'made', 'target']);
    });

    it('begins its deltas as its format says, and tells how far it is', async () => {
      const base = databasePages(3_000_000, 9);
      await write(base, editPages(base, 30, 4));
      for (const work of [delta, patch]) {
        const steps: (readonly [number, number])[] = [];
        await work({ onProgress: (done, total) => steps.push([done, total]) });
        const all = steps.map(([done]) => done);
        expect(all).toEqual(all.toSorted((a, b) => a - b));
        expect(steps.at(-1)?.[0]).toBe(steps.at(-1)?.[1]);
        expect(new Set(steps.map(([, total]) => total)).size).toBe(1);
      }
      const head = (await readFile(path('delta'))).subarray(0, feature.format.magic.length);
      expect(Buffer.compare(head, feature.format.magic)).toBe(0);
    });

    it('works past one window: edits, an insertion and moved content in 24 MiB', async () => {
      const base = databasePages(24 * 1024 * 1024, 3);
      const edited = editPages(base, 30, 4);
      const target = Buffer.concat([
        edited.subarray(5_000_000),
        noise(10_000, 1),
        edited.subarray(0, 5_000_000),
      ]);
      await write(base, target);
      await delta();
      expect((await readFile(path('delta'))).length).toBeLessThan(target.length / 2);
      await patch();
      expect(Buffer.compare(await readFile(path('made')), target)).toBe(0);
    });

    it('leaves what was there, and nothing else, when a delta is cut or damaged', async () => {
      const base = databasePages(200_000, 6);
      await write(base, editPages(base, 30, 7));
      await delta();
      const whole = new Uint8Array(await readFile(path('delta')));
      await writeFile(path('made'), 'as before');
      const random = createRandom(5);
      for (const bytes of [whole.subarray(0, whole.length - 1), whole.subarray(0, 3), new Uint8Array(0)]) {
        await writeFile(path('delta'), bytes);
        await expect(patch()).rejects.toThrow();
        expect(await readFile(path('made'), 'utf8')).toBe('as before');
      }
      for (let i = 0; i < 40; i++) {
        await writeFile(path('delta'), damaged(whole, random));
        await patch().catch(() => undefined);
      }
      expect((await readdir(folder)).sort()).toEqual(['base', 'delta', 'made', 'target']);
    });

    it('names the file that is missing', async () => {
      await write(new Uint8Array(10), new Uint8Array(10));
      await rm(path('base'));
      await expect(delta()).rejects.toThrow(/base/);
      await expect(patch()).rejects.toThrow(/base/);
      expect(await readdir(folder)).toEqual(['target']);
    });

    const { signatures } = feature;
    it.runIf(signatures !== undefined)(
      'makes deltas from signatures of every kind, without the base',
      async () => {
        const base = databasePages(300_001, 10);
        const target = editPages(base, 30, 11);
        for (const { name: sums } of signatures?.sums ?? []) {
          await write(base, target);
          await signatures?.sign(path('base'), path('signature'), { sums, blockBytes: 512 });
          const signature = await readFile(path('signature'));
          expect(
            signatures?.formats.some(({ magic }) => signature.subarray(0, magic.length).equals(magic)),
          ).toBe(true);
          await rm(path('base'));
          await signatures?.delta(path('signature'), path('target'), path('delta'));
          expect((await readFile(path('delta'))).length).toBeLessThan(target.length / 4);
          await writeFile(path('base'), base);
          await patch();
          expect(Buffer.compare(await readFile(path('made')), target)).toBe(0);
        }
        const unknown = signatures?.sign(path('base'), path('other'), { sums: 'no-such' });
        await expect(unknown).rejects.toMatchObject({ code: 'INPUT_INVALID' });
      },
    );

    it('stops on an aborted signal and leaves nothing', async () => {
      const base = databasePages(100_000, 8);
      await write(base, base);
      await delta();
      const signal = AbortSignal.abort(new Error('enough'));
      await expect(patch({ signal })).rejects.toThrow();
      await rm(path('delta'));
      await expect(delta({ signal })).rejects.toThrow();
      expect((await readdir(folder)).sort()).toEqual(['base', 'target']);
    });
  });
}
