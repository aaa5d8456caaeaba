/** A network for DHCP tests: our appliance, clients, and programs of others, each in a namespace of its own. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ClientOrder, ClientReport } from './netboot-client.ts';
import { TestNetwork } from './netboot-namespaces.ts';

export const APPLIANCE = '10.77.0.1';
export const MAC = '52:54:00:77:00:01';
export const BIOS = 'PXEClient:Arch:00000:UNDI:002001';
export const UEFI = 'PXEClient:Arch:00007:UNDI:003016';

export interface Appliance {
  readonly child: ChildProcess;
  /** Its first line: it started, or why not. */
  readonly first: { ready?: boolean; error?: { code: string; message: string; remedy: string } };
  /** All it says, as it says it. */
  readonly log: string[];
}

/** Namespace `app` holds 10.77.0.1/24, `client` no address yet. */
export class NetbootRoom {
  readonly network = new TestNetwork();
  directory = '';

  /** Call {@link close} also when this rejects. */
  async open(): Promise<void> {
    this.directory = await mkdtemp(path.join(os.tmpdir(), 'overdub-dhcp-'));
    await this.network.open();
    await this.network.add('app', `${APPLIANCE}/24`);
    await this.network.add('client');
  }

  async close(): Promise<void> {
    await this.network.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Starts boot-pxe with these options; resolves when it serves or has failed to. */
  async appliance(options: object, reservations: Record<string, string> = {}): Promise<Appliance> {
    const child = this.network.start('app', [
      ...program('netboot-appliance.ts'),
      JSON.stringify(options),
      path.join(this.directory, 'state'),
      JSON.stringify(reservations),
    ]);
    const log: string[] = [];
    child.stderr?.on('data', (text) => log.push(String(text)));
    const lines = createInterface({ input: child.stdout as NonNullable<ChildProcess['stdout']> });
    lines.on('line', (line) => log.push(line));
    const answered = (line: string): boolean => /^\{"(ready|error)"/.test(line);
    while (!log.some(answered)) {
      if (child.exitCode !== null) throw new Error(`the appliance ended: ${log.join('\n')}`);
      await Promise.race([once(lines, 'line'), once(child, 'exit')]);
    }
    return { child, first: JSON.parse(log.find(answered) as string), log };
  }

  /** Runs a PXE client in a namespace to its end. */
  async client(order: Partial<ClientOrder>, where = 'client'): Promise<ClientReport> {
    const full: ClientOrder = { mac: MAC, server: APPLIANCE, waitMs: 700, ...order };
    return JSON.parse(await this.network.run(where, [...program('netboot-client.ts'), JSON.stringify(full)]));
  }

  /** Starts somebody else's program and waits until it says so. */
  async foreign(
    where: string,
    command: readonly string[],
    stream: 'stdout' | 'stderr',
    pattern: RegExp,
  ): Promise<ChildProcess> {
    const child = this.network.start(where, command);
    await lineOf(child, stream, pattern);
    return child;
  }
}

function program(name: string): string[] {
  return [process.execPath, '--conditions=overdub-source', fileURLToPath(new URL(name, import.meta.url))];
}

async function lineOf(child: ChildProcess, stream: 'stdout' | 'stderr', pattern: RegExp): Promise<void> {
  let text = '';
  const source = child[stream] as NonNullable<ChildProcess['stdout']>;
  await new Promise<void>((resolve, reject) => {
    source.on('data', (chunk) => {
      text += String(chunk);
      if (pattern.test(text)) resolve();
    });
    source.once('end', () => reject(new Error(`the program ended without saying ${pattern}: ${text}`)));
  });
}
