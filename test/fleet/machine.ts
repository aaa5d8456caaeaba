/** One machine's way from power-on to an agent that waits for work, over the real protocols. */

import { randomUUID } from 'node:crypto';
import type { Orders, Welcome } from '@overdub/core/agent';
import { type DhcpLog, lease } from './dhcp.ts';
import { factsOf, type Hardware } from './hardware.ts';
import { fetchHttp } from './http.ts';
import type { Relay } from './relay.ts';
import { type TftpLog, tftpFetch, tftpSize } from './tftp.ts';

/** What the files of the appliance have to be, byte for byte. */
export interface Expected {
  readonly loaders: ReadonlyMap<string, Buffer>;
  readonly kernel: Buffer;
  readonly initrd: Buffer;
}

export interface World {
  readonly relay: Relay;
  readonly expected: Expected;
  readonly dhcp: DhcpLog;
  readonly tftp: TftpLog;
  /** Hears where each machine has come to. */
  readonly reached: (stage: Stage) => void;
}

export const STAGES = ['lease', 'loader', 'script', 'initrd', 'hello', 'orders'] as const;
export type Stage = (typeof STAGES)[number];

/** How much of the ramdisk it fetches. */
export type Appetite = { readonly initrdBytes: number } | 'everything';

/** Rejects with what went wrong, also when a single byte is not what it has to be. */
export async function boot(hardware: Hardware, appetite: Appetite, world: World): Promise<void> {
  const { relay, dhcp, reached } = world;
  const firmware = await lease(relay, hardware, 'firmware', dhcp);
  reached('lease');
  await fetchLoader(firmware, world);
  reached('loader');
  const ipxe = await lease(relay, hardware, 'ipxe', dhcp);
  const script = (await fetchHttp(ipxe.bootFile ?? '', { from: ipxe.address })).toString();
  reached('script');
  const session = await fetchRamdisk(script, ipxe.address, appetite, world);
  reached('initrd');
  const { address } = await lease(relay, hardware, 'ramdisk', dhcp);
  await agent(hardware, address, session, reached);
}

async function fetchLoader(
  {
    address: from,
    server,
    bootFile: name = '',
  }: { address: string; server: string; bootFile?: string | undefined },
  { expected, tftp }: World,
): Promise<void> {
  const loader = expected.loaders.get(name);
  if (loader === undefined) throw new Error(`no loader called ${name}`);
  const comparison = new Comparison(loader, name);
  const size = await tftpSize({ from, server, name }, tftp);
  if (size !== loader.length) throw new Error(`${name} is said to have ${size} bytes`);
  await tftpFetch({ from, server, name, take: comparison.take }, tftp);
  comparison.end();
}

/** Kernel and initrd as the script names them; what the session archive says. */
async function fetchRamdisk(
  script: string,
  from: string,
  appetite: Appetite,
  { expected }: World,
): Promise<{ url: string; nonce: string }> {
  const fetchFile = async (pattern: RegExp, wanted: Buffer, first: number | undefined): Promise<void> => {
    const url = pattern.exec(script)?.[1] ?? '';
    const comparison = new Comparison(wanted, url, first);
    await fetchHttp(url, { from, take: comparison.take, ...(first === undefined ? {} : { first }) });
    comparison.end();
  };
  if (appetite === 'everything') await fetchFile(/^kernel .*?(http:\S+)/m, expected.kernel, undefined);
  const archive = await fetchHttp(/(http:\S+\/session\/\S+)/.exec(script)?.[1] ?? '', { from });
  const first =
    appetite === 'everything' ? undefined : Math.min(appetite.initrdBytes, expected.initrd.length);
  await fetchFile(/^initrd --name initrd (http:\S+)/m, expected.initrd, first);
  const said = /\{"url".*?\}/.exec(archive.toString('latin1'))?.[0];
  if (said === undefined) throw new Error('the session archive holds no session');
  return JSON.parse(said) as { url: string; nonce: string };
}

/** Loader and agent: hello by nonce, the bundle, hello again with facts, the first question for orders. */
async function agent(
  hardware: Hardware,
  from: string,
  { url, nonce }: { url: string; nonce: string },
  reached: World['reached'],
): Promise<void> {
  const about = { protocol: 1, where: 'ramdisk', bootId: randomUUID() };
  const ask = async <T>(path: string, more: object): Promise<T> =>
    JSON.parse((await fetchHttp(`${url}/agent/v1${path}`, { from, ...more })).toString()) as T;
  const first = await ask<Welcome>('/hello', { method: 'POST', json: { ...about, nonce } });
  const bundle = await ask<{ files: readonly { digest: string }[] }>('/bundle', { bearer: first.session });
  for (const { digest } of bundle.files) {
    await fetchHttp(`${url}/agent/v1/bundle/${digest}`, {
      from,
      bearer: first.session,
      take: () => undefined,
    });
  }
  const welcome = await ask<Welcome>('/hello', {
    method: 'POST',
    json: { ...about, resume: first.session, facts: factsOf(hardware) },
  });
  reached('hello');
  const orders = await ask<Orders>('/task?wait=0', { bearer: welcome.session });
  if (orders.standing !== 'waiting') throw new Error(`the agent is told that it is ${orders.standing}`);
  reached('orders');
}

/** A stream beside what it has to be. */
class Comparison {
  readonly #wanted: Buffer;
  readonly #name: string;
  readonly #length: number;
  #at = 0;

  constructor(wanted: Buffer, name: string, length = wanted.length) {
    this.#wanted = wanted;
    this.#name = name;
    this.#length = length;
  }

  /** Throws at the first wrong byte, and at one too many. */
  readonly take = (piece: Buffer): void => {
    const end = this.#at + piece.length;
    if (end > this.#length || piece.compare(this.#wanted, this.#at, end) !== 0)
      throw new Error(`${this.#name}: wrong bytes at ${this.#at}`);
    this.#at = end;
  };

  /** Throws when bytes are missing. */
  end(): void {
    if (this.#at !== this.#length)
      throw new Error(`${this.#name}: ${this.#at} of ${this.#length} bytes came`);
  }
}
