/**
 * `npm run bench -- boot [--report FILE] [--megabytes 64] [--rounds 5]`: what netbooting moves, beside the field.
 *
 * TFTP from our server, tftpd-hpa, atftpd and dnsmasq, HTTP artifacts from ours and nginx: in one run, each server
 * alone on one core, the client on another, on the loopback of a network namespace of its own. Medians of all rounds;
 * the contenders take turns.
 */

import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { httpRows } from './boot/http.ts';
import { type Row, table } from './boot/measure.ts';
import { findPrograms, type Programs } from './boot/programs.ts';
import { withRoom } from './boot/room.ts';
import { tftpRows } from './boot/tftp.ts';

const INSIDE = 'OVERDUB_BENCH_INSIDE';

interface Inside {
  readonly directory: string;
  readonly programs: Programs;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      report: { type: 'string' },
      megabytes: { type: 'string', default: '64' },
      rounds: { type: 'string', default: '5' },
    },
  });
  const bytes = Math.round(Number(values.megabytes) * 1e6);
  const rounds = Number(values.rounds);
  const { directory, programs } = JSON.parse(process.env[INSIDE] ?? '{}') as Inside;
  const rows: Row[] = await withRoom({ bytes, directory, programs }, async (room) => [
    ...(await tftpRows(room, rounds)),
    ...(await httpRows(room, rounds)),
  ]);
  console.log(table(rows));
  if (values.report !== undefined) {
    await writeFile(values.report, `${JSON.stringify({ bytes, rounds, rows }, undefined, 2)}\n`);
  }
}

/** The same program again, where ports 69 and 80 are free and nothing gets out; the others' servers are at hand. */
async function inNamespace(): Promise<number> {
  const directory = await mkdtemp(path.join(tmpdir(), 'overdub-bench-'));
  try {
    const { programs, libraries } = await findPrograms(directory);
    const users = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
    const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    // tftpd-hpa resolves no IPv4 address where the host has none but 127.0.0.0/8.
    const setUp = 'ip link set lo up && ip address add 192.0.2.1/32 dev lo && exec "$@"';
    const shell = ['sh', '-c', setUp, 'sh', ...again];
    const inside: Inside = { directory, programs };
    const { status, error } = spawnSync('unshare', [...users, '--net', ...shell], {
      stdio: 'inherit',
      env: { ...process.env, LD_LIBRARY_PATH: libraries, [INSIDE]: JSON.stringify(inside) },
    });
    if (error !== undefined) throw error;
    return status ?? 1;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

if (process.env[INSIDE] === undefined) process.exitCode = await inNamespace();
else await main();
