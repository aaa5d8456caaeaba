/** TFTP: one block at a time with curl, windows with atftp. What comes goes nowhere: a disk would be measured with it. */

import { compare, type Row } from './measure.ts';
import { ADDRESS, FILE, type Room } from './room.ts';

/** Nobody else's firmware asks for larger ones on Ethernet. */
const BLOCK_BYTES = '1468';
const LOCKSTEP = ['overdub', 'tftpd-hpa', 'atftpd', 'dnsmasq'] as const;
const WINDOWED = ['overdub', 'atftpd'] as const;

export async function tftpRows(room: Room, rounds: number): Promise<Row[]> {
  const { bytes } = room;
  const curl = LOCKSTEP.map((name) => ({
    name,
    fetch: [
      'curl',
      '-sS',
      '--tftp-blksize',
      BLOCK_BYTES,
      '-o',
      '/dev/null',
      `tftp://${ADDRESS[name]}/${FILE}`,
    ],
  }));
  const rows = [await compare(`TFTP, blksize ${BLOCK_BYTES}`, curl, { bytes, rounds, target: 1 })];
  for (const window of ['16', '64']) {
    const atftp = WINDOWED.map((name) => ({
      name,
      fetch: [
        ...['atftp', '--option', `blksize ${BLOCK_BYTES}`, '--option', `windowsize ${window}`],
        ...['--get', '--remote-file', FILE, '--local-file', '/dev/null', ADDRESS[name], '69'],
      ],
    }));
    rows.push(await compare(`TFTP, windowsize ${window}`, atftp, { bytes, rounds, target: 1.1 }));
  }
  return rows;
}
