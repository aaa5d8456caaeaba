/** For tests: Debian's ipmi_sim as a machine's controller, its chassis a script that keeps state and orders in files. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { openUdp } from '@overdub/lib-netboot';

export const USER = 'overdub';
export const PASSWORD = 's3cret-77';
/** What its inventory says. */
export const FRU = { vendor: 'Contoso', product: 'Model 3500', serial: '437XR1138R2' } as const;

export interface Simulator {
  readonly port: number;
  readonly passwordFile: string;
  chassis(): Promise<'on' | 'off'>;
  /** Lines `set power 1`, `set boot pxe` since the last call. */
  orders(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** Starts one that is off; resolves when it answers on its port. */
export async function startSimulator(): Promise<Simulator> {
  const home = await mkdtemp(path.join(os.tmpdir(), 'overdub-ipmi-'));
  const probe = await openUdp({ address: '127.0.0.1', port: 0 });
  const { port } = probe.address();
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  const file = (name: string): string => path.join(home, name);
  await mkdir(file('state'));
  await writeFile(file('power'), '0\n');
  await writeFile(file('orders'), '');
  await writeFile(file('password'), `${PASSWORD}\n`, { mode: 0o600 });
  await writeFile(file('chassis'), chassisScript(home));
  await chmod(file('chassis'), 0o755);
  await writeFile(file('lan.conf'), lanConfiguration(port, file('chassis')));
  await writeFile(
    file('sim.emu'),
    `mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\n${fruLine()}mc_enable 0x20\n`,
  );
  const child = spawn(
    'ipmi_sim',
    ['-c', file('lan.conf'), '-f', file('sim.emu'), '-s', file('state'), '-n'],
    {
      stdio: 'ignore',
    },
  );
  const failed = once(child, 'error').then(([error]) => Promise.reject(error));
  failed.catch(() => undefined);
  await Promise.race([new Promise((resolve) => setTimeout(resolve, 1000)), failed]);
  let seen = 0;
  return {
    port,
    passwordFile: file('password'),
    chassis: async () => ((await readFile(file('power'), 'utf8')).trim() === '1' ? 'on' : 'off'),
    async orders() {
      const all = (await readFile(file('orders'), 'utf8')).split('\n').filter((line) => line !== '');
      const fresh = all.slice(seen);
      seen = all.length;
      return fresh;
    },
    async close() {
      await ended(child);
      await appendFile(file('orders'), '');
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** ipmi_sim calls it as `chassis 0x20 get power`, `… set power 1`, `… set boot pxe`. */
function chassisScript(home: string): string {
  return `#!/bin/sh
cd ${home} || exit 1
shift
verb=$1
shift
if [ "$verb" = get ]; then
  for key in "$@"; do
    case $key in power) echo "power:$(cat power)" ;; boot) echo "boot:default" ;; esac
  done
elif [ "$verb" = set ]; then
  while [ $# -gt 1 ]; do
    echo "set $1 $2" >> orders
    case $1 in power) echo "$2" > power ;; esac
    shift 2
  done
fi
`;
}

function lanConfiguration(port: number, chassis: string): string {
  const methods = ['callback', 'user', 'operator', 'admin'].map((level) => `allowed_auths_${level} md5`);
  return `name "overdub"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 ${port}
    priv_limit admin
    ${methods.join('\n    ')}
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "${chassis} 0x20"
  user 1 true "" "none" user 10 md5
  user 2 true "${USER}" "${PASSWORD}" admin 10 md5
`;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** Inventory with a product area (Platform Management FRU Information Storage 1.0 §8, §12). */
function fruLine(): string {
  const field = (text: string): number[] => [0xc0 | text.length, ...Buffer.from(text)];
  const texts = [FRU.vendor, FRU.product, 'part', '1', FRU.serial, '', ''].flatMap(field);
  const product = [1, 0, 0, ...texts, 0xc1];
  while ((product.length + 1) % 8 !== 0) product.push(0);
  product[1] = (product.length + 1) / 8;
  const bytes = [...checked([1, 0, 0, 0, 1, 0, 0]), ...checked(product)];
  const data = bytes.map((byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(' ');
  return `mc_add_fru_data 0x20 0 ${bytes.length} data ${data}\n`;
}

/** With the byte that makes the sum zero. */
function checked(bytes: readonly number[]): number[] {
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  return [...bytes, (256 - (sum % 256)) % 256];
}
