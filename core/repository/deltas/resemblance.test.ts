import { describe, expect, it } from 'vitest';
import { dictionaryCodec } from '../../testing/fakes/dictionary-codec.ts';
import { commitTree, eachWorld, noise, prose, readTree } from '../fixture.ts';
import { SUPER_FEATURES, superFeatures } from './resemblance.ts';

const world = eachWorld();

/** The same with a few bytes changed here and there, and some inserted. */
function edited(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = 5000; at < copy.length; at += 50_000) noise(20, at).copy(copy, at);
  return Buffer.concat([copy.subarray(0, 70_000), noise(300, 'inserted'), copy.subarray(70_000)]);
}

const shared = (a: readonly number[], b: readonly number[]) => a.filter((one) => b.includes(one)).length;

describe('super-features', () => {
  it('are shared by contents that differ a little, and not by others', () => {
    const bytes = noise(300_000, 'library');
    const features = superFeatures(bytes);
    expect(features).toHaveLength(SUPER_FEATURES);
    expect(shared(features, superFeatures(edited(bytes)))).toBeGreaterThan(0);
    expect(shared(features, superFeatures(noise(300_000, 'other')))).toBe(0);
  });

  it.each([
    [20_000, 2_310_925_778, 1_423_841_656, 3_981_542_907],
    [20_001, 3_710_163_912, 94_788_602, 3_759_684_943],
    [20_002, 2_626_260_145, 1_196_957_412, 3_123_044_494],
    [20_003, 2_024_282_426, 3_121_586_085, 1_595_005_778],
    [1_500_000, 1_462_803_183, 3_990_066_954, 2_777_901_194],
  ])('of %i bytes are what was remembered', (length, ...remembered) => {
    expect(superFeatures(noise(length, length))).toEqual(remembered);
  });

  it('are the same where every place is picked, more of them than are looked at together', () => {
    const always = Buffer.alloc(40_000, 166);
    const bytes = Buffer.concat([noise(3000, 'a'), always, noise(3001, 'b')]);
    expect(superFeatures(bytes)).toEqual([2_625_837_042, 1_935_964_493, 1_289_246_764]);
  });

  it('are none for what holds too little', () => {
    expect(superFeatures(new Uint8Array(0))).toEqual([]);
    expect(superFeatures(Buffer.alloc(100_000))).toEqual([]);
  });
});

describe('a content that no path relates to another', () => {
  it('is stored against the one it resembles, also after a restart, and restores', async () => {
    const tool = prose(200_000, 'tool');
    const open = () => world.open({ codecs: [dictionaryCodec()] });
    let repository = await open();
    await commitTree(repository, 's1', { 'usr/bin/mysql': tool });
    await repository.close();
    repository = await open();
    const { manifest } = await commitTree(repository, 's2', { 'opt/other': edited(tool) });
    const { byForm } = await repository.stats();
    expect(byForm.dictionary).toMatchObject({ chunks: 1 });
    expect(byForm.dictionary?.storedBytes).toBeLessThan(tool.length / 4);
    expect(Object.keys(await readTree(repository, manifest))).toEqual(['opt/other']);
  });
});
