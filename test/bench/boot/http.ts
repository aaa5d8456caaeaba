/** HTTP artifacts: many small requests would measure the framework; a boot fetches few large files. */

import { compare, type Row } from './measure.ts';
import { ADDRESS, FILE, type Room } from './room.ts';

const TIMES = 8;

export async function httpRows({ bytes }: Room, rounds: number): Promise<Row[]> {
  const fetch = (url: string): string[] => [
    ...['curl', '-sS', '--fail'],
    ...Array.from({ length: TIMES }, () => ['-o', '/dev/null', url]).flat(),
  ];
  const contenders = [
    { name: 'overdub', fetch: fetch(`http://${ADDRESS.overdub}/boot/${FILE}`) },
    { name: 'nginx', fetch: fetch(`http://${ADDRESS.nginx}/${FILE}`) },
  ];
  return [await compare('HTTP artifact', contenders, { bytes: bytes * TIMES, rounds, target: 0.8 })];
}
