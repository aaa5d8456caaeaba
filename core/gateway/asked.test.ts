import { expect, it } from 'vitest';
import { digestOf } from '../domain/content-ref.ts';
import { Asked } from './asked.ts';

it('tells what was asked for from what has come, and counts both once', () => {
  const asked = new Asked();
  const digests = Array.from({ length: 1000 }, (_, at) => digestOf(Buffer.from(`${at}`)));
  for (const digest of digests) asked.ask(digest);
  for (const digest of digests.slice(0, 300)) asked.arrive(digest);
  // Offered again, and sent again: a connection broke.
  for (const digest of digests.slice(200, 400)) asked.ask(digest);
  for (const digest of digests.slice(250, 350)) asked.arrive(digest);
  expect([asked.size, asked.arrived]).toEqual([1000, 350]);
  expect(digests.filter((digest) => asked.hasArrived(digest))).toEqual(digests.slice(0, 350));
  const other = digestOf(Buffer.from('another'));
  expect([asked.has(other), asked.hasArrived(other)]).toEqual([false, false]);
});
