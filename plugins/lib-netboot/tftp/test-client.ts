/** A TFTP client for tests: windows, and a network that loses and doubles on demand. */

import dgram from 'node:dgram';

/** Which packets get lost, counted from 0 over all of their direction (the option acknowledgement is data 0). */
export interface Loss {
  readonly dropData?: (index: number) => boolean;
  readonly dropAck?: (index: number) => boolean;
  readonly duplicate?: boolean;
  readonly duplicateAck?: boolean;
}

export interface Fetch {
  /** IPv4 or IPv6; default 127.0.0.1. */
  readonly address?: string;
  readonly port: number;
  readonly name: string;
  readonly mode?: string;
  readonly write?: boolean;
  readonly options?: Readonly<Record<string, string>>;
  readonly loss?: Loss;
  readonly abortAfterOptions?: boolean;
  /** Stop acknowledging after so many data packets, and resolve. */
  readonly silentAfter?: number;
  /** Leave the socket open on return, so that the server gets no ICMP refusal. */
  readonly keepOpen?: boolean;
  readonly requestEveryMs?: number;
  /** Send empty and senseless datagrams to the transfer's port in between. */
  readonly noise?: boolean;
}

export interface Fetched {
  readonly content: Buffer;
  readonly blocks: number;
  readonly dataPackets: number;
  readonly granted: ReadonlyMap<string, string>;
  readonly transferPort: number;
  close(): void;
}

/** An ERROR packet of the server. */
export class TftpTestError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const PATIENCE_MS = 60;

/** Fetches one file from one server, acknowledging each full window, each gap once, and the last block. */
export function fetchTftp(fetch: Fetch): Promise<Fetched> {
  return new Promise((resolve, reject) => new Client(fetch, resolve, reject).start());
}

class Client {
  readonly #fetch: Fetch;
  readonly #resolve: (fetched: Fetched) => void;
  readonly #reject: (error: Error) => void;
  readonly #address: string;
  readonly #socket: dgram.Socket;
  readonly #parts: Buffer[] = [];
  #granted = new Map<string, string>();
  #window = 1;
  #blockBytes = 512;
  #received = 0;
  #arrived = 0;
  #acks = 0;
  #dataPackets = 0;
  #sinceAck = 0;
  #peerPort = 0;
  #closed = false;
  #idle: NodeJS.Timeout | undefined;
  #repeat: NodeJS.Timeout | undefined;

  constructor(fetch: Fetch, resolve: (fetched: Fetched) => void, reject: (error: Error) => void) {
    this.#fetch = fetch;
    this.#address = fetch.address ?? '127.0.0.1';
    this.#socket = dgram.createSocket(this.#address.includes(':') ? 'udp6' : 'udp4');
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    const { name, mode = 'octet', write, options = {}, port, requestEveryMs } = this.#fetch;
    const fields = [name, mode, ...Object.entries(options).flat(), ''];
    const request = Buffer.concat([
      Buffer.from([0, write ? 2 : 1]),
      Buffer.from(fields.join('\0'), 'latin1'),
    ]);
    this.#socket.on('message', (packet, from) => this.#message(packet, from.port));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.send(request, port, this.#address);
    if (requestEveryMs !== undefined) {
      this.#repeat = setInterval(() => this.#socket.send(request, port, this.#address), requestEveryMs);
    }
  }

  #message(packet: Buffer, port: number): void {
    clearInterval(this.#repeat);
    const opcode = packet.readUInt16BE();
    if (opcode === 5) {
      this.#fail(new TftpTestError(packet.readUInt16BE(2), packet.toString('latin1', 4, packet.length - 1)));
      return;
    }
    this.#peerPort = port;
    if (this.#fetch.loss?.dropData?.(this.#arrived++)) return;
    for (let copy = this.#fetch.loss?.duplicate ? 2 : 1; copy > 0 && !this.#closed; copy--) {
      if (opcode === 6) this.#optionAck(packet);
      else this.#data(packet);
    }
  }

  #optionAck(packet: Buffer): void {
    const fields = packet.toString('latin1', 2).split('\0');
    for (let at = 0; at + 1 < fields.length; at += 2)
      this.#granted.set(fields[at] as string, fields[at + 1] as string);
    this.#blockBytes = Number(this.#granted.get('blksize') ?? 512);
    this.#window = Number(this.#granted.get('windowsize') ?? 1);
    if (!this.#fetch.abortAfterOptions) {
      this.#acknowledge();
      return;
    }
    this.#socket.send(
      Buffer.from('\0\u0005\0\u0008User aborted\0', 'latin1'),
      this.#peerPort,
      this.#address,
      () => {
        this.#finish();
      },
    );
  }

  #data(packet: Buffer): void {
    this.#dataPackets += 1;
    if (this.#fetch.silentAfter !== undefined && this.#dataPackets >= this.#fetch.silentAfter) {
      this.#finish();
      return;
    }
    if (this.#fetch.noise) {
      this.#socket.send('', this.#peerPort, this.#address);
      this.#socket.send(Buffer.from([0, 1, 0, 9, 7]), this.#peerPort, this.#address);
    }
    const expected = packet.readUInt16BE(2) === ((this.#received + 1) & 0xffff);
    if (expected) {
      this.#received += 1;
      this.#sinceAck += 1;
      this.#parts.push(Buffer.from(packet.subarray(4)));
    }
    const last = expected && packet.length - 4 < this.#blockBytes;
    if (last || this.#sinceAck >= this.#window || !expected) this.#acknowledge();
    else this.#waitMore();
    if (last) setTimeout(() => this.#finish(), this.#fetch.loss ? 200 : 0);
  }

  #waitMore(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#acknowledge(), PATIENCE_MS);
  }

  #acknowledge(): void {
    if (this.#closed) return;
    clearTimeout(this.#idle);
    this.#sinceAck = 0;
    const ack = Buffer.from([0, 4, (this.#received >> 8) & 255, this.#received & 255]);
    if (this.#fetch.loss?.dropAck?.(this.#acks++)) return;
    for (let copy = this.#fetch.loss?.duplicateAck ? 2 : 1; copy > 0; copy--) {
      this.#socket.send(ack, this.#peerPort, this.#address);
    }
  }

  #fail(error: Error): void {
    this.#close();
    this.#reject(error);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#idle);
    clearInterval(this.#repeat);
    this.#socket.close();
  }

  #finish(): void {
    if (this.#fetch.keepOpen) clearTimeout(this.#idle);
    else this.#close();
    this.#resolve({
      content: Buffer.concat(this.#parts),
      blocks: this.#received,
      dataPackets: this.#dataPackets,
      granted: this.#granted,
      transferPort: this.#peerPort,
      close: () => this.#close(),
    });
  }
}
