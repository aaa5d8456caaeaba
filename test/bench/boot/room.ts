/** The file that is fetched and the servers that serve it, ours and others', each on its own loopback address. */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { SERVER_CORE } from './measure.ts';
import type { Programs } from './programs.ts';

/** A name that boot-ipxe serves from its directory: our contender is the code that machines boot from. */
export const FILE = 'ipxe/ipxe.efi';
export const ADDRESS = {
  overdub: '127.0.0.2',
  'tftpd-hpa': '127.0.0.3',
  atftpd: '127.0.0.4',
  dnsmasq: '127.0.0.5',
  nginx: '127.0.0.6',
} as const;

export interface Room {
  readonly bytes: number;
  readonly directory: string;
}

/** Serves a file of random bytes in `directory` by everybody while `use` runs, then ends them all. */
export async function withRoom<T>(
  { bytes, directory, programs }: Room & { readonly programs: Programs },
  use: (room: Room) => Promise<T>,
): Promise<T> {
  const children: ChildProcess[] = [];
  try {
    await fill(path.join(directory, FILE), bytes);
    for (const command of await commands(directory, programs)) children.push(await start(command));
    return await use({ bytes, directory });
  } finally {
    for (const child of children) await ended(child);
  }
}

async function fill(file: string, bytes: number): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const out = await open(file, 'w');
  const piece = randomBytes(1_000_000);
  for (let left = bytes; left > 0; left -= piece.length)
    await out.write(piece, 0, Math.min(left, piece.length));
  await out.close();
}

/** V8's options of an appliance, as `bin/overdub.mjs` starts it. */
const AS_APPLIANCE = ['--max-semi-space-size=4', '--heap-growing-percent=100', '--expose-gc'];

interface Command {
  readonly line: readonly string[];
  /** How it says that it serves; absent for those that say nothing. */
  readonly ready?: RegExp;
}

async function commands(directory: string, programs: Programs): Promise<readonly Command[]> {
  const server = path.join(import.meta.dirname, 'server.ts');
  const nginx = path.join(directory, 'nginx.conf');
  await writeFile(nginx, nginxConfiguration(directory));
  return [
    {
      line: [
        process.execPath,
        '--conditions=overdub-source',
        ...AS_APPLIANCE,
        server,
        directory,
        ADDRESS.overdub,
      ],
      ready: /serving/,
    },
    {
      line: [
        programs['in.tftpd'],
        '-L',
        '-4',
        '-a',
        `${ADDRESS['tftpd-hpa']}:69`,
        '-u',
        'root',
        '-s',
        directory,
      ],
    },
    {
      line: [
        ...[programs.atftpd, '--daemon', '--no-fork', '--bind-address', ADDRESS.atftpd, '--port', '69'],
        ...['--user', 'root', '--group', 'root', '--verbose=0', directory],
      ],
    },
    {
      line: [
        ...[
          programs.dnsmasq,
          '--no-daemon',
          '--conf-file=/dev/null',
          '--port=0',
          '--user=root',
          '--bind-interfaces',
        ],
        ...[`--listen-address=${ADDRESS.dnsmasq}`, '--enable-tftp', `--tftp-root=${directory}`],
      ],
    },
    { line: [programs.nginx, '-c', nginx, '-p', directory] },
  ];
}

function nginxConfiguration(directory: string): string {
  return `daemon off;
master_process off;
worker_processes 1;
error_log ${directory}/nginx.log;
pid ${directory}/nginx.pid;
events {}
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path ${directory}/t1;
  proxy_temp_path ${directory}/t2;
  fastcgi_temp_path ${directory}/t3;
  uwsgi_temp_path ${directory}/t4;
  scgi_temp_path ${directory}/t5;
  server { listen ${ADDRESS.nginx}:80; root ${directory}; }
}
`;
}

async function start({ line, ready }: Command): Promise<ChildProcess> {
  const child = spawn('taskset', ['-c', SERVER_CORE, ...line], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => {
      said = `${said}${text}`.slice(-4000);
    });
  }
  const began = performance.now();
  while (ready === undefined ? performance.now() - began < 500 : !ready.test(said)) {
    if (child.exitCode !== null || performance.now() - began > 20_000)
      throw new Error(`${line[0]} does not serve: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await exit;
  clearTimeout(timer);
}
