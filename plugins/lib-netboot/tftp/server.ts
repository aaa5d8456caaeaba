/** A read-only TFTP server over dgram. */

import type dgram from 'node:dgram';
import { openUdp, type UdpEndpoint } from '../udp/open-udp.ts';
import { openTransferSocket, type TransferSocket } from '../udp/transfer-socket.ts';
import type { TftpFile } from './block-reader.ts';
import { BusyPoll } from './busy-poll.ts';
import { cleanBootName, decodeTftp, encodeError, TFTP_ERROR, type TftpRequest } from './codec.ts';
import { negotiate, type TransferLimits, type TransferTerms } from './negotiate.ts';
import { ShortTurns } from './short-turns.ts';
import { Transfer, type TransferOutcome } from './transfer.ts';

/** Who asks: IPv4 or IPv6 address and UDP port. */
export interface TftpPeer {
  readonly address: string;
  readonly port: number;
}

/** What happened to one read request, for logs and metrics. */
export interface TftpReport extends TransferOutcome {
  readonly name: string;
  readonly peer: TftpPeer;
  readonly milliseconds: number;
}

export interface TftpServerOptions extends Partial<TransferLimits> {
  /** Where requests arrive. Its `address` is also what transfers are sent from, each from a port of its own. */
  readonly listen: UdpEndpoint;
  /** The file behind a clean relative name, or `undefined` if there is none. */
  open(name: string, peer: TftpPeer): Promise<TftpFile | undefined>;
  /** Transfers at one time; requests beyond are dropped unanswered, and clients ask again. Default 2048. */
  readonly maxTransfers?: number;
  /** Retransmissions to a silent client. Default 6. */
  readonly attempts?: number;
  /** Every request's end. */
  onReport?(report: TftpReport): void;
}

export interface TftpServer {
  /** The port it listens on. */
  readonly port: number;
  /** Transfers under way. */
  readonly active: number;
  /** Ends all transfers and closes every socket. Idempotent. */
  close(): Promise<void>;
}

/** Lockstep clients that are polled for: with more of them at a time, packets come before anybody sleeps. */
const POLLED = 8;
const DEFAULTS = { maxBlockBytes: 1468, maxWindow: 64, retryMs: 1000 };

/** Binds and serves. Rejects with a `UdpError` when the port cannot be had. */
export async function startTftpServer(options: TftpServerOptions): Promise<TftpServer> {
  const socket = await openUdp(options.listen);
  const server = new Server(socket, options);
  socket.on('message', (bytes, peer) => server.request(bytes, { address: peer.address, port: peer.port }));
  socket.on('error', (error) => server.broken(error));
  return server;
}

/** One client's read, from its request on. */
interface Session {
  readonly request: Uint8Array;
  readonly peer: TftpPeer;
  readonly name: string;
  readonly options: ReadonlyMap<string, string>;
  readonly started: number;
  /** Set by {@link Server} when the client asks for something else or the server closes. */
  over: boolean;
  transfer?: Transfer;
}

class Server implements TftpServer {
  readonly #listener: dgram.Socket;
  readonly #options: TftpServerOptions;
  readonly #limits: TransferLimits;
  readonly #sessions = new Map<string, Session>();
  readonly #turns = new ShortTurns();
  readonly #poll = new BusyPoll();
  #closed = false;

  constructor(listener: dgram.Socket, options: TftpServerOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#limits = {
      maxBlockBytes: options.maxBlockBytes ?? DEFAULTS.maxBlockBytes,
      maxWindow: options.maxWindow ?? DEFAULTS.maxWindow,
      retryMs: options.retryMs ?? DEFAULTS.retryMs,
    };
  }

  get port(): number {
    return this.#listener.address().port;
  }

  get active(): number {
    return this.#sessions.size;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#turns.close();
    this.#poll.close();
    for (const session of [...this.#sessions.values()]) this.#drop(session, 'the server closes');
    await new Promise<void>((resolve) => this.#listener.close(() => resolve()));
  }

  /** The listening socket failed on a send or receive; it stays open. */
  broken(error: Error): void {
    const nobody = { name: '', peer: { address: '0.0.0.0', port: 0 }, started: performance.now() };
    this.#report(nobody, { result: 'failed', bytes: 0, reason: error.message });
  }

  request(bytes: Uint8Array, peer: TftpPeer): void {
    const packet = decodeTftp(bytes);
    if (packet.kind === 'invalid' || packet.kind === 'error' || this.#closed) return;
    const asked = packet.kind === 'ack' ? '' : packet.name;
    const name = cleanBootName(asked);
    const refusal = refusalOf(packet, name);
    if (refusal !== undefined || name === undefined || packet.kind === 'ack') {
      this.#refuse(peer, asked, refusal?.code ?? TFTP_ERROR.undefined, refusal?.message ?? 'refused');
      return;
    }
    const running = this.#sessions.get(keyOf(peer));
    // The request again, because our answer is late or lost: the transfer under way repeats itself.
    if (running && !running.transfer?.progressed && same(running.request, bytes)) return;
    if (running) this.#drop(running, 'the client asked anew');
    if (!this.#hasRoom()) return;
    const request = Uint8Array.from(bytes);
    const session = { request, peer, name, options: packet.options, started: performance.now(), over: false };
    this.#sessions.set(keyOf(peer), session);
    this.#serve(session).catch((error: unknown) => {
      if (session.over) return;
      this.#drop(session, '');
      this.#refuse(peer, name, TFTP_ERROR.undefined, error instanceof Error ? error.message : String(error));
    });
  }

  /** When full, the oldest request that nobody followed up makes room: a flood of them starves no real client. */
  #hasRoom(): boolean {
    if (this.#sessions.size < (this.#options.maxTransfers ?? 2048)) return true;
    for (const session of this.#sessions.values()) {
      if (session.transfer === undefined || session.transfer.progressed) continue;
      this.#drop(session, 'dropped for a newer request');
      return true;
    }
    return false;
  }

  async #serve(session: Session): Promise<void> {
    const file = await this.#options.open(session.name, session.peer);
    if (session.over) return;
    if (file === undefined) {
      this.#drop(session, '');
      this.#refuse(session.peer, session.name, TFTP_ERROR.notFound, `there is no ${session.name}`);
      return;
    }
    const terms = negotiate(session.options, file.bytes, this.#limits);
    const connection = await openTransferSocket({
      address: this.#options.listen.address,
      peer: session.peer,
      ...(terms.window === 1 ? {} : { segmentBytes: 4 + terms.blockBytes }),
    });
    if (session.over) connection.socket.close();
    else this.#transfer(session, file, terms, connection);
  }

  /** Only this client's packets arrive on a connected socket; others are told by ICMP that nobody listens. */
  #transfer(session: Session, file: TftpFile, terms: TransferTerms, { socket, send }: TransferSocket): void {
    const transfer = new Transfer({
      file,
      terms,
      attempts: this.#options.attempts ?? 6,
      send,
      onEnd: (outcome) => {
        // A last ERROR packet may still be on its way out.
        setImmediate(() => socket.close());
        this.#drop(session, '');
        this.#report(session, outcome);
      },
    });
    session.transfer = transfer;
    socket.on('message', (bytes) => {
      this.#turns.run(() => transfer.receive(decodeTftp(bytes)));
      if (terms.window === 1 && this.#sessions.size <= POLLED) this.#poll.goOn();
    });
    // In the order they came: a client's last packet goes before the news that its port is closed.
    socket.on('error', (error) => this.#turns.run(() => transfer.abandon(error.message)));
    transfer.start();
  }

  #drop(session: Session, reason: string): void {
    session.over = true;
    const key = keyOf(session.peer);
    if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    session.transfer?.abandon(reason);
  }

  #refuse(peer: TftpPeer, name: string, code: number, message: string): void {
    if (this.#closed) return;
    this.#listener.send(encodeError(code, message), peer.port, peer.address, (error) => {
      const reason = error ? `${message} (and could not say so: ${error.message})` : message;
      this.#report({ name, peer, started: performance.now() }, { result: 'failed', bytes: 0, reason });
    });
  }

  #report(session: Pick<Session, 'name' | 'peer' | 'started'>, outcome: TransferOutcome): void {
    const { name, peer, started } = session;
    this.#options.onReport?.({ name, peer, milliseconds: performance.now() - started, ...outcome });
  }
}

function keyOf(peer: TftpPeer): string {
  return `${peer.address}:${peer.port}`;
}

function refusalOf(
  packet: TftpRequest,
  name: string | undefined,
): { readonly code: number; readonly message: string } | undefined {
  if (packet.kind === 'write')
    return { code: TFTP_ERROR.accessViolation, message: 'this server is read-only' };
  if (packet.kind !== 'read')
    return { code: TFTP_ERROR.unknownTransfer, message: 'no transfer on this port' };
  if (packet.mode !== 'octet') {
    return { code: TFTP_ERROR.undefined, message: `mode ${packet.mode} is not served; use octet (binary)` };
  }
  if (name !== undefined) return undefined;
  return { code: TFTP_ERROR.accessViolation, message: 'this name leaves the served tree' };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
