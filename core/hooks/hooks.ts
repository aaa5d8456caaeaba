/**
 * The six frozen hook groups. Names are `group.verb`. Plugins get {@link HookTaps} (tap methods only);
 * the core alone holds {@link HookCalls}. `docs/hooks.md` is held to {@link HOOK_TABLE} by a test.
 *
 * Kinds: `bail` asks taps in order, the first answer other than undefined wins; `collect` asks all and
 * gathers the answers in order; `isolated` tells all, one tap's failure never reaches another.
 */

import type { BlobStore } from '../contracts/blob-store.ts';
import type { Artifact, BootPlan, BootRequest, RenderedBoot } from '../contracts/boot.ts';
import type { DeltaCodec } from '../contracts/delta-codec.ts';
import type { ImageSource } from '../contracts/image-source.ts';
import type { PowerControl } from '../contracts/power.ts';
import type { Event } from '../domain/event.ts';
import type { Admission, DhcpFacts, Machine, MachineFacts } from '../domain/machine.ts';

/** What was seen of a machine: by DHCP (no facts yet) or by the ramdisk's agent (facts). */
export interface Sighting {
  readonly mac: string;
  readonly uuid?: string;
  readonly facts?: MachineFacts;
  /** `controller`: nothing was seen, its management controller said what is on the record now. */
  readonly via: 'boot' | 'agent' | 'controller';
  /** What its firmware told DHCP, where that is what was seen. */
  readonly dhcp?: DhcpFacts;
  /** An IPv4 address in the network it was seen on: its own, its relay's, or ours on the interface. A claim, as a MAC is. */
  readonly seenOn?: string;
}

/** Who it is: a machine known already, or one that configuration declares and that was not seen before. */
export type Identification =
  | { readonly machineId: string }
  | {
      readonly declare: {
        readonly name: string;
        readonly macs: readonly string[];
        readonly labels: Readonly<Record<string, string>>;
      };
    };

export interface AdmissionRequest {
  readonly sighting: Sighting;
  /** Its record as it is now, with the labels that configuration declares. */
  readonly machine: Machine;
  /** Another machine that claims the same SMBIOS UUID: boards come with copied ones. */
  readonly sharer?: Machine;
}

export interface AdmissionDecision {
  /** Absent: whatever it is now. Counts only while nobody decided by hand, and takes back nothing that was accepted. */
  readonly admission?: Admission;
  readonly reason: string;
  /** Labels to set, whatever its admission. What people set, changed or removed by hand stays as they want it. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface PlanRequest {
  readonly request: BootRequest;
  readonly machine: Machine;
  /** What the core would do by itself. */
  readonly proposed: BootPlan['kind'];
}

export interface RenderRequest {
  readonly request: BootRequest;
  readonly machine: Machine;
  readonly plan: Extract<BootPlan, { kind: 'ramdisk' }>;
}

/** One possible form of a stored chunk, measured. */
export interface DeltaCandidate {
  readonly codec: string;
  readonly storedBytes: number;
  readonly milliseconds: number;
}

export interface ChooseRequest {
  readonly targetBytes: number;
  readonly wholeBytes: number;
  readonly candidates: readonly DeltaCandidate[];
}

/** Input → answer of every hook. */
export interface HookSignatures {
  'discovery.identify': (sighting: Sighting) => Identification;
  'discovery.admit': (input: AdmissionRequest) => AdmissionDecision;
  'boot.plan': (input: PlanRequest) => BootPlan['kind'];
  'boot.render': (input: RenderRequest) => RenderedBoot;
  'boot.artifact': (input: { name: string }) => Artifact;
  'boot.power': (input: { machine: Machine }) => PowerControl;
  'imaging.source': (input: { path: string }) => ImageSource;
  'diffing.codec': (input: Record<string, never>) => DeltaCodec;
  'diffing.choose': (input: ChooseRequest) => { codec: string | 'whole' };
  'storage.open': (input: { url: string }) => BlobStore;
  'notification.notify': (event: Event) => void;
}

export type HookName = keyof HookSignatures;
export type HookKind = 'bail' | 'collect' | 'isolated';
type Input<N extends HookName> = Parameters<HookSignatures[N]>[0];
type Answer<N extends HookName> = ReturnType<HookSignatures[N]>;

export interface HookDescription {
  readonly kind: HookKind;
  readonly summary: string;
  readonly previous: string;
  readonly next: string;
}

/** Every hook: kind, what it decides, what ran before it, what runs after. */
export const HOOK_TABLE: { readonly [N in HookName]: HookDescription } = {
  'discovery.identify': {
    kind: 'bail',
    summary:
      'Who is the machine that was seen? Default: by MAC address, then by SMBIOS UUID; unknown ones become new records.',
    previous: 'a DHCP request, an iPXE request, or an agent’s hello',
    next: 'discovery.admit',
  },
  'discovery.admit': {
    kind: 'bail',
    summary:
      'May it have a role, and which labels does it get? Its admission counts while the machine is not yet accepted, or rejected by hand. Default: held.',
    previous: 'discovery.identify, or an answer of the machine’s management controller',
    next: 'boot.plan',
  },
  'boot.plan': {
    kind: 'bail',
    summary:
      'What does it boot: ramdisk, local disk, or silence? Default: what its record and open operations ask for.',
    previous: 'discovery.admit',
    next: 'boot.render',
  },
  'boot.render': {
    kind: 'bail',
    summary: 'How is the plan said to this kind of client?',
    previous: 'boot.plan, unless it chose local or silent',
    next: 'boot.artifact, when the client fetches what was named',
  },
  'boot.artifact': {
    kind: 'bail',
    summary: 'Which bytes lie behind a name that a client fetches by TFTP or HTTP?',
    previous: 'a TFTP or HTTP request',
    next: 'none',
  },
  'boot.power': {
    kind: 'bail',
    summary: 'Who switches this machine’s power?',
    previous: 'a command, or an operation that needs the machine in the ramdisk',
    next: 'none',
  },
  'imaging.source': {
    kind: 'bail',
    summary: 'Who reads this path as a master: a directory, a tar, an OCI archive?',
    previous: 'master import',
    next: 'the repository',
  },
  'diffing.codec': {
    kind: 'collect',
    summary: 'Which binary-diff algorithms are there?',
    previous: 'start of the appliance',
    next: 'diffing.choose',
  },
  'diffing.choose': {
    kind: 'bail',
    summary: 'In which form is a changed chunk stored? Default: the smallest measured.',
    previous: 'candidates were measured',
    next: 'the repository',
  },
  'storage.open': {
    kind: 'bail',
    summary: 'Who opens the repository behind this URL?',
    previous: 'start of the appliance',
    next: 'the repository',
  },
  'notification.notify': {
    kind: 'isolated',
    summary: 'Something happened; tell whoever wants to know.',
    previous: 'any event',
    next: 'none',
  },
};

export const HOOK_NAMES = Object.keys(HOOK_TABLE) as HookName[];

export interface TapOptions {
  /** Lower runs earlier; default 0. Equal stages run in load order. */
  readonly stage?: number;
}

/** The only thing a plugin can do to one hook. `null` and `undefined` both mean "not mine". */
export interface HookTap<N extends HookName> {
  tap(
    handler: (input: Input<N>) => Answer<N> | undefined | null | Promise<Answer<N> | undefined | null>,
    options?: TapOptions,
  ): void;
}

type Group<N extends HookName> = N extends `${infer G}.${string}` ? G : never;
type Verb<N extends HookName, G extends string> = N extends `${G}.${infer V}` ? V : never;

/** `hooks.boot.render.tap(…)` for every hook of the table; frozen, closed to typos. */
export type HookTaps = {
  readonly [G in Group<HookName>]: { readonly [V in Verb<HookName, G>]: HookTap<`${G}.${V}` & HookName> };
};

/** What `call` returns, by kind. */
export type CallResult<N extends HookName> = N extends 'notification.notify'
  ? undefined
  : N extends 'diffing.codec'
    ? Answer<N>[]
    : Answer<N> | undefined;

/** Held by the core alone. */
export interface HookCalls {
  call<N extends HookName>(name: N, input: Input<N>): Promise<CallResult<N>>;
  /** Taps for one plugin: what it throws is wrapped with its name. */
  tapsFor(plugin: string): HookTaps;
  /** Who taps a hook, in order; for `overdub plugin list`. */
  tapped(name: HookName): readonly string[];
}
