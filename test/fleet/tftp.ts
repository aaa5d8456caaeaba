/** A TFTP client as firmware has it: asks for the size, gives up, fetches in lockstep; repeats what is not answered. */

import dgram from 'node:dgram';
import { once } from 'node:events';

/** EDK2 waits 4 s and tries six times (PxeBcMtftp.h); it would be the least patient of all. */
const WAIT_MS = 4000;
const TRIES = 6;

export interface TftpAsk {
  /** The client's own address. */
  readonly from: string;
  readonly server: string;
  readonly name: string;
}

export interface TftpFetch extends TftpAsk {
  /** Gets each block in order. What it throws ends the fetch. */
  readonly take: (block: Buffer) => void;
}

export interface TftpLog {
  /** Packets sent again because nothing came. */
  repeated: number;
}

/** RFC 2349: the file's size, by a request that is given up as soon as the answer is there. */
export async function tftpSize(ask: TftpAsk, log: TftpLog): Promise<number> {
  const socket = await openSocket(ask.from);
  try {
    const reader = new Reader(socket, { ...ask, take: () => undefined }, log);
    const granted = await reader.ask({ tsize: '0', blksize: '1468' });
    await reader.abort();
    return Number(granted.get('tsize'));
  } finally {
    socket.close();
  }
}

/** The whole file. Rejects when the server refuses it or falls silent. */
export async function tftpFetch(fetch: TftpFetch, log: TftpLog): Promise<number> {
  const socket = await openSocket(fetch.from);
  try {
    const reader = new Reader(socket, fetch, log);
    const granted = await reader.ask({ blksize: '1468' });
    return await reader.blocks(Number(granted.get('blksize') ?? 512));
  } finally {
    socket.close();
  }
}

async function openSocket(address: string): Promise<dgram.Socket> {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

class Reader {
  readonly #socket: dgram.Socket;
  readonly #fetch: TftpFetch;
  readonly #log: TftpLog;
  #peer = 69;

  constructor(socket: dgram.Socket, fetch: TftpFetch, log: TftpLog) {
    this.#socket = socket;
    this.#fetch = fetch;
    this.#log = log;
  }

  async ask(options: Readonly<Record<string, string>>): Promise<ReadonlyMap<string, string>> {
    const fields = [this.#fetch.name, 'octet', ...Object.entries(options).flat(), ''];
    const request = Buffer.concat([Buffer.of(0, 1), Buffer.from(fields.join('\0'), 'latin1')]);
    const answer = await this.#exchange(request, (packet) => packet.readUInt16BE() === 6);
    const texts = answer.toString('latin1', 2).split('\0');
    return new Map(
      Array.from({ length: texts.length >> 1 }, (_, at) => [
        (texts[at * 2] as string).toLowerCase(),
        texts[at * 2 + 1] as string,
      ]),
    );
  }

  /** Error 8 ends (RFC 2347), the transfer that asked for options only. */
  abort(): Promise<void> {
    const packet = Buffer.from('\0\x05\0\x08User aborted\0', 'latin1');
    return new Promise((resolve) =>
      this.#socket.send(packet, this.#peer, this.#fetch.server, () => resolve()),
    );
  }

  /** Acknowledges block after block; resolves with the bytes received. */
  blocks(blockBytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let expected = 1;
      let bytes = 0;
      let tries = 0;
      const acknowledge = (): void =>
        this.#send(Buffer.of(0, 4, ((expected - 1) >> 8) & 255, (expected - 1) & 255));
      const timer = setTimeout(function expired() {
        tries += 1;
        if (tries > TRIES) return end(new Error(`the server fell silent after ${bytes} bytes`));
        repeat();
        timer.refresh();
      }, WAIT_MS);
      const repeat = (): void => {
        this.#log.repeated += 1;
        acknowledge();
      };
      const end = (error?: Error): void => {
        clearTimeout(timer);
        this.#socket.off('message', hear);
        if (error === undefined) resolve(bytes);
        else reject(error);
      };
      const hear = (packet: Buffer, from: dgram.RemoteInfo): void => {
        if (from.port !== this.#peer) return;
        const opcode = packet.readUInt16BE();
        if (opcode === 5) end(refusal(packet));
        if (opcode !== 3 || packet.readUInt16BE(2) !== (expected & 0xffff)) return;
        const block = packet.subarray(4);
        try {
          this.#fetch.take(block);
        } catch (error) {
          end(error as Error);
          return;
        }
        bytes += block.length;
        expected += 1;
        tries = 0;
        acknowledge();
        if (block.length < blockBytes) end();
        else timer.refresh();
      };
      this.#socket.on('message', hear);
      acknowledge();
    });
  }

  #send(packet: Buffer): void {
    this.#socket.send(packet, this.#peer, this.#fetch.server);
  }

  #exchange(packet: Buffer, wanted: (answer: Buffer) => boolean): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let tries = 1;
      const timer = setInterval(() => {
        if (tries++ >= TRIES) return end(new Error(`no TFTP answer for ${this.#fetch.name}`));
        this.#log.repeated += 1;
        this.#send(packet);
      }, WAIT_MS);
      const end = (outcome: Buffer | Error): void => {
        clearInterval(timer);
        this.#socket.off('message', hear);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const hear = (answer: Buffer, from: dgram.RemoteInfo): void => {
        if (answer.readUInt16BE() === 5) end(refusal(answer));
        if (!wanted(answer)) return;
        this.#peer = from.port;
        end(answer);
      };
      this.#socket.on('message', hear);
      this.#send(packet);
    });
  }
}

function refusal(packet: Buffer): Error {
  return new Error(
    `TFTP error ${packet.readUInt16BE(2)}: ${packet.toString('latin1', 4, packet.length - 1)}`,
  );
}
