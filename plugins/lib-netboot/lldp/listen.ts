/** Hears who is at the other end of each network interface. Linux; needs CAP_NET_RAW. */

import { type LinkSocket, openLinkSocket } from '../udp/raw-socket.ts';
import { decodeLldpFrame, LLDP_ETHERTYPE, LLDP_GROUPS, type LldpNeighbour } from './codec.ts';

/** How often sockets are looked into, milliseconds. Switches send every 30 s. */
const LOOK_MS = 500;
/** An interface that could not be opened (it is down, or gone) is tried again after so many looks. */
const AGAIN_LOOKS = 10;
/** Frames of one interface that are read in one look. */
const MOST_FRAMES = 32;

export interface LldpListenOptions {
  readonly interfaces: readonly string[];
  /** Heard for the first time, or something of it changed; `undefined`: it took its leave. */
  readonly onNeighbour: (device: string, neighbour: LldpNeighbour | undefined) => void;
  /** An interface cannot be listened to, for now; told once each. */
  readonly onDeaf?: (device: string, reason: string) => void;
  /** Resolves after some time; rejects when it is over. */
  readonly sleep: (ms: number) => Promise<void>;
}

/**
 * Listens until `sleep` rejects, and rejects with that; every socket is closed then. An interface that is down is
 * listened to once it is up. Never sends anything.
 */
export async function listenLldp({
  interfaces,
  onNeighbour,
  onDeaf = () => undefined,
  sleep,
}: LldpListenOptions): Promise<never> {
  const ears = interfaces.map((device) => new Ear(device, onDeaf));
  const known = new Map<string, string>();
  try {
    for (let look = 0; ; look++) {
      for (const ear of ears) {
        if (look % AGAIN_LOOKS === 0) await ear.open();
        for (const neighbour of ear.hear()) {
          const gone = neighbour.ttlSeconds === 0;
          const text = gone ? '' : JSON.stringify(neighbour);
          if ((known.get(ear.device) ?? '') === text) continue;
          known.set(ear.device, text);
          onNeighbour(ear.device, gone ? undefined : neighbour);
        }
      }
      await sleep(LOOK_MS);
    }
  } finally {
    for (const ear of ears) ear.close();
  }
}

class Ear {
  readonly device: string;
  readonly #onDeaf: (device: string, reason: string) => void;
  #socket: LinkSocket | undefined;
  #saidDeaf = false;

  constructor(device: string, onDeaf: (device: string, reason: string) => void) {
    this.device = device;
    this.#onDeaf = onDeaf;
  }

  /** No effect when it is open; stays closed where the interface, or the privilege, is missing. */
  async open(): Promise<void> {
    try {
      this.#socket ??= await openLinkSocket(this.device, LLDP_ETHERTYPE, LLDP_GROUPS);
    } catch (error) {
      this.#deaf(error);
    }
  }

  /** What arrived since the last time. An interface that went down closes it. */
  hear(): readonly LldpNeighbour[] {
    const heard: LldpNeighbour[] = [];
    try {
      for (let frames = 0; frames < MOST_FRAMES; frames++) {
        const frame = this.#socket?.receive();
        if (frame === undefined) break;
        heard.push(...[decodeLldpFrame(frame)].flatMap((each) => each ?? []));
      }
    } catch (error) {
      this.close();
      this.#deaf(error);
    }
    return heard;
  }

  #deaf(error: unknown): void {
    if (this.#saidDeaf) return;
    this.#saidDeaf = true;
    this.#onDeaf(this.device, error instanceof Error ? error.message : String(error));
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}
