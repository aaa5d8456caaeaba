/** A netboot server of other people's parts (dnsmasq, Debian's iPXE), to judge the ramdisk without our own. */

import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from './lab.ts';
import type { LabProcess } from './processes.ts';

const PORT = 7077;
const SERVER = `
const { createServer } = require('node:http');
const { createReadStream, statSync } = require('node:fs');
createServer((request, response) => {
  console.log(request.method, request.url);
  try {
    const path = process.argv[1] + new URL(request.url, 'http://x').pathname;
    const stat = statSync(path);
    if (!stat.isFile()) throw new Error('not a file');
    response.writeHead(200, { 'content-length': stat.size });
    if (request.method === 'HEAD') response.end();
    else createReadStream(path).pipe(response);
  } catch {
    response.writeHead(404).end();
  }
}).listen(${PORT}, () => console.log('listening'));`;

export interface ForeignBoot {
  readonly url: string;
  /** Starts the HTTP server that stands for the appliance, if it does not run. */
  startHttp(): Promise<LabProcess>;
}

/**
 * dnsmasq hands out addresses, iPXE and a script that boots `ramdisk` with `session` as its second initrd.
 * The script and the files come by HTTP from the lab's own address.
 */
export async function foreignBoot(
  lab: Lab,
  files: { readonly vmlinuz: string; readonly initrd: string; readonly session: Uint8Array },
): Promise<ForeignBoot> {
  const url = `http://${lab.address}:${PORT}`;
  const www = join(lab.dir, 'www');
  const tftp = join(lab.dir, 'tftp');
  mkdirSync(www);
  mkdirSync(tftp);
  symlinkSync(files.vmlinuz, join(www, 'vmlinuz'));
  symlinkSync(files.initrd, join(www, 'initrd'));
  writeFileSync(join(www, 'session.cpio'), files.session);
  writeFileSync(join(www, 'boot.ipxe'), script(url));
  copyFileSync('/usr/lib/ipxe/undionly.kpxe', join(tftp, 'undionly.kpxe'));
  copyFileSync('/boot/ipxe.efi', join(tftp, 'ipxe.efi'));
  await lab.dnsmasq({
    address: '10.77.0.2/24',
    range: ['10.77.0.100', '10.77.0.150'],
    options: [
      '--enable-tftp',
      `--tftp-root=${tftp}`,
      '--dhcp-userclass=set:ipxe,iPXE',
      '--dhcp-match=set:efi,option:client-arch,7',
      '--dhcp-boot=tag:!ipxe,tag:efi,ipxe.efi',
      '--dhcp-boot=tag:!ipxe,tag:!efi,undionly.kpxe',
      `--dhcp-boot=tag:ipxe,${url}/boot.ipxe`,
    ],
  });
  let server: LabProcess | undefined;
  let starts = 0;
  const startHttp = async () => {
    if (server?.running) return server;
    // A log of its own for each: a request may follow the word that it listens before we have read it.
    starts += 1;
    server = await lab.start(`http-${starts}`, [process.execPath, '-e', SERVER, www]);
    while (server.running && !server.output().includes('listening\n')) await sleep(50);
    return server;
  };
  return { url, startHttp };
}

function script(url: string): string {
  return [
    '#!ipxe',
    `kernel ${url}/vmlinuz initrd=initrd initrd=session.cpio console=tty0 console=ttyS0,115200 panic=30`,
    `initrd --name initrd ${url}/initrd`,
    `initrd --name session.cpio ${url}/session.cpio`,
    'boot',
    '',
  ].join('\n');
}
