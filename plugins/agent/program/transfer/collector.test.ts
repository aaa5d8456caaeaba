import { describe, expect, it } from 'vitest';
import { Collector } from './collector.ts';
import type { RecordLine } from './record.ts';

async function* lines(count: number, chunks = 1): AsyncGenerator<RecordLine> {
  for (let n = 0; n < count; n++) {
    const list = Array.from({ length: chunks }, () => ({ digest: 'd', bytes: 1 }));
    const content = { digest: 'd', bytes: chunks, chunks: list };
    const entry = { path: `${n}`, type: 'file', mode: 0, uid: 0, gid: 0, mtimeNs: '0', content } as const;
    yield n % 10 === 0 ? { entry, changed: true } : { entry };
  }
}

async function pathsOf(source: AsyncIterable<RecordLine>): Promise<string[]> {
  const paths: string[] = [];
  for await (const line of source) paths.push(line.entry.path);
  return paths;
}

async function* unread(): AsyncGenerator<RecordLine> {
  yield await Promise.reject(new Error('the record was read again'));
}

describe('a collector', () => {
  it('passes everything on and gives the picked lines again without the record', async () => {
    const collector = new Collector((line) => line.changed === true);
    expect(await pathsOf(collector.pass(lines(100)))).toHaveLength(100);
    const picked = ['0', '10', '20', '30', '40', '50', '60', '70', '80', '90'];
    expect(await pathsOf(collector.lines(unread()))).toEqual(picked);
  });

  it('reads the record again when the picked lines were too many to hold', async () => {
    const collector = new Collector((line) => line.changed === true);
    await pathsOf(collector.pass(lines(100, 10_000)));
    await expect(pathsOf(collector.lines(unread()))).rejects.toThrow('read again');
    expect(await pathsOf(collector.lines(lines(100, 10_000)))).toHaveLength(10);
  });
});
