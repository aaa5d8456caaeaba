import { FRAME, parseFrames, type SignatureFeature, type SignatureIndex } from '@overdub/core/agent';
import { expect, it } from 'vitest';
import { GrowingIndex } from './bases.ts';
import { encodeDelta } from './deltas.ts';

it('a codec may give out parts of the chunk, whose buffer is filled anew behind it', async () => {
  const feature = {
    async *encode(_index: SignatureIndex, target: Uint8Array) {
      yield target.subarray(1, 3);
      yield Buffer.from('own');
    },
  } as unknown as SignatureFeature;
  const index = new GrowingIndex(feature, { bytes: 0 } as SignatureIndex);
  const bases = { files: [], virtual: 0, near: new Map<string, number>(), index };
  const bytes = Buffer.from('chunk');
  const pieces: Uint8Array[] = [];
  const target = { joins: true, inPlace: undefined };
  for await (const piece of encodeDelta(bases, target, bytes, 0, new AbortController().signal))
    pieces.push(piece);
  bytes.fill(0);
  const frames = parseFrames(
    (async function* () {
      yield* pieces;
    })(),
  );
  const payloads: string[] = [];
  for await (const { type, payload } of frames)
    if (type === FRAME.piece) payloads.push(Buffer.from(payload).toString());
  expect(payloads).toEqual(['hu', 'own']);
});
