/** Who is the machine that was seen, and may it have a role? Keeps the machine records. */

import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Log } from '../contracts/log.ts';
import type { EventType } from '../domain/event.ts';
import { type Machine, normalizeMac, normalizeUuid } from '../domain/machine.ts';
import { withKnownNeighbours } from '../domain/machine-facts.ts';
import { withRuleLabels } from '../domain/rule-labels.ts';
import type { HookCalls, Identification, Sighting } from '../hooks/hooks.ts';
import type { EventBus } from '../operations/events.ts';
import { newId } from '../operations/ids.ts';

export interface SightingDeps {
  readonly catalogue: Catalogue;
  readonly hooks: HookCalls;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventBus;
}

export interface Sightings {
  /** identify → admit; the record as it is afterwards. Sightings are worked off one by one. */
  see(sighting: Sighting, claimed?: Machine): Promise<Machine>;
  /** admit alone, of a record that learnt something from its management controller; it as it is afterwards. */
  readmit(machine: Machine): Promise<Machine>;
}

/** Hooks that fail cost a machine nothing but its admission: it stays held. */
export function sightings(deps: SightingDeps): Sightings {
  let turn: Promise<unknown> = Promise.resolve();
  /** As whom each machine was seen last: rules that name it so must fit again when it is admitted again. */
  const seenAs = new Map<string, Whom>();
  const inTurn = (work: () => Promise<Machine>): Promise<Machine> => {
    const done = turn.then(work);
    turn = done.catch(() => undefined);
    return done;
  };
  return {
    see: (sighting, claimed) =>
      inTurn(async () => {
        const cleaned = clean(sighting);
        const machine = await recordSighting(deps, cleaned, claimed);
        seenAs.set(machine.id, whom(cleaned.mac, cleaned.uuid));
        return machine;
      }),
    readmit: (machine) => inTurn(() => admitAgain(deps, machine, seenAs.get(machine.id))),
  };
}

async function admitAgain(deps: SightingDeps, before: Machine, seenAs: Whom | undefined): Promise<Machine> {
  const machine = (await deps.catalogue.machines.get(before.id)) ?? before;
  const [mac] = machine.macs;
  const known = seenAs ?? (mac === undefined ? undefined : whom(mac, machine.uuid));
  return known === undefined ? machine : admit(deps, { ...known, via: 'controller' }, machine);
}

/** What rules name a machine by. */
type Whom = Pick<Sighting, 'mac' | 'uuid'>;

function whom(mac: string, uuid: string | undefined): Whom {
  return uuid === undefined ? { mac } : { mac, uuid };
}

async function recordSighting(deps: SightingDeps, sighting: Sighting, claimed?: Machine): Promise<Machine> {
  const { catalogue, hooks, clock } = deps;
  const identified = await hooks.call('discovery.identify', sighting);
  const { machine: found, doubt } = await identify(deps, sighting, identified, claimed);
  const now = new Date(clock.now()).toISOString();
  const known =
    found ?? (await catalogue.machines.add(await newMachine(deps, sighting, identified, now, doubt), 'soon'));
  const owned = await ownMacs(catalogue, known, sighting);
  const declared = declaration(identified);
  const updated = await catalogue.machines.update(
    known.id,
    (machine) => ({
      ...machine,
      macs: [...new Set([...machine.macs, ...owned])],
      labels: { ...machine.labels, ...declared?.labels },
      ...(machine.uuid === undefined && sighting.uuid !== undefined ? { uuid: sighting.uuid } : {}),
      ...(sighting.facts === undefined
        ? {}
        : {
            facts: withKnownNeighbours(sighting.facts, machine.facts),
            arch: sighting.facts.arch,
            firmware: sighting.facts.firmware,
          }),
      ...(sighting.dhcp === undefined ? {} : { dhcp: sighting.dhcp }),
      ...(sighting.seenOn === undefined ? {} : { seenOn: sighting.seenOn }),
      lastSeenAt: now,
    }),
    'soon',
  );
  const admitted = doubt === undefined ? await admit(deps, sighting, updated) : updated;
  if (found === undefined) announce(deps, admitted);
  return admitted;
}

/** By MAC address; by UUID only where no MAC speaks against it. */
async function identify(
  { catalogue, log }: SightingDeps,
  sighting: Sighting,
  identified: Identification | undefined,
  claimed: Machine | undefined,
): Promise<{ machine?: Machine; doubt?: string }> {
  if (identified !== undefined && 'machineId' in identified) {
    const machine = await catalogue.machines.get(identified.machineId);
    if (machine !== undefined) return { machine };
    log.warn({ machineId: identified.machineId }, 'discovery.identify named a machine that does not exist');
  }
  const macs = [...(declaration(identified)?.macs ?? []), ...macsOf(sighting)];
  for (const mac of macs) {
    const machine = await catalogue.machines.byMac(mac);
    if (machine === undefined) continue;
    if (claimed !== undefined && machine.id !== claimed.id) break;
    return { machine };
  }
  if (claimed !== undefined) {
    return { doubt: `its agent came with the boot nonce of ${claimed.name}, but reports other hardware` };
  }
  if (sighting.uuid === undefined) return {};
  const [sharer] = await catalogue.machines.byUuid(sighting.uuid);
  if (sharer === undefined) return {};
  if (sharer.macs.length === 0) return { machine: sharer };
  return {
    doubt:
      `it claims the SMBIOS UUID of ${sharer.name}, but has another MAC address: ` +
      'a board with a copied UUID, or that machine with a new network card (then forget the old record)',
  };
}

async function newMachine(
  { catalogue }: SightingDeps,
  sighting: Sighting,
  identified: Identification | undefined,
  now: string,
  doubt: string | undefined,
): Promise<Machine> {
  const declared = declaration(identified);
  const owners = await Promise.all(macsOf(sighting).map((mac) => catalogue.machines.byMac(mac)));
  const macs = [...(declared?.macs ?? []), ...macsOf(sighting).filter((_, at) => owners[at] === undefined)];
  return {
    id: newId('m', Date.parse(now)),
    name: await freeName(catalogue, declared?.name ?? `machine-${sighting.mac.slice(9).replaceAll(':', '')}`),
    macs: [...new Set(macs)],
    ...(sighting.uuid === undefined ? {} : { uuid: sighting.uuid }),
    admission: 'held',
    admissionReason: doubt ?? 'seen for the first time',
    // Only a person may clear a doubt about who it is.
    ...(doubt === undefined ? {} : { admissionBy: 'overdub' }),
    labels: {},
    firstSeenAt: now,
    lastSeenAt: now,
  };
}

/** What rules say: labels always, admission while nobody decided by hand, and never to take back what was accepted. */
async function admit(
  { catalogue, hooks, events, log }: SightingDeps,
  sighting: Sighting,
  machine: Machine,
): Promise<Machine> {
  const sharers = machine.uuid === undefined ? [] : await catalogue.machines.byUuid(machine.uuid);
  const sharer = sharers.find(({ id }) => id !== machine.id);
  const request = { sighting, machine, ...(sharer === undefined ? {} : { sharer }) };
  const decision = await hooks.call('discovery.admit', request).catch((error) => {
    log.error(
      { machine: machine.name, error: String(error) },
      'admission failed; the machine stays as it is',
    );
    return undefined;
  });
  if (decision === undefined) return machine;
  const labelled = withRuleLabels(machine, decision.labels ?? {});
  const open = machine.admissionBy === undefined && machine.admission !== 'accepted';
  const { admission = machine.admission } = decision;
  const changed = open && admission !== machine.admission;
  if (!changed && labelled === machine) return machine;
  const decided = await catalogue.machines.update(
    machine.id,
    (record) => ({
      ...withRuleLabels(record, decision.labels ?? {}),
      ...(changed ? { admission, admissionReason: decision.reason } : {}),
    }),
    'soon',
  );
  if (!changed) return decided;
  const type = `machine.${decided.admission}` as EventType;
  events.emit(type, { machine: decided.id }, `${decided.name} is ${decided.admission}: ${decision.reason}`);
  return decided;
}

function announce({ events }: SightingDeps, machine: Machine): void {
  events.emit('machine.seen', { machine: machine.id }, `${machine.name} was seen for the first time`, {
    macs: machine.macs,
  });
  if (machine.admission !== 'held') return;
  events.emit('machine.held', { machine: machine.id }, `${machine.name} is held: ${machine.admissionReason}`);
}

/** MACs that nobody else has: a second record of the same box is left for people to judge. */
async function ownMacs(catalogue: Catalogue, machine: Machine, sighting: Sighting): Promise<string[]> {
  const macs = macsOf(sighting);
  const owners = await Promise.all(macs.map((mac) => catalogue.machines.byMac(mac)));
  return macs.filter((_, at) => owners[at] === undefined || owners[at]?.id === machine.id);
}

function macsOf(sighting: Sighting): string[] {
  const reported = sighting.facts?.nics.map((nic) => normalizeMac(nic.mac)) ?? [];
  return [...new Set([sighting.mac, ...reported.filter((mac) => mac !== undefined)])];
}

function declaration(identified: Identification | undefined) {
  return identified !== undefined && 'declare' in identified ? identified.declare : undefined;
}

async function freeName(catalogue: Catalogue, wanted: string): Promise<string> {
  for (let suffix = 1; ; suffix++) {
    const name = suffix === 1 ? wanted : `${wanted}-${suffix}`;
    if ((await catalogue.machines.byName(name)) === undefined) return name;
  }
}

function clean(sighting: Sighting): Sighting {
  const { uuid: _raw, seenOn: at, ...rest } = sighting;
  const uuid = normalizeUuid(sighting.uuid ?? sighting.facts?.uuid);
  // Dual-stack sockets write IPv4 peers as IPv6 (RFC 4291 §2.5.5.2).
  const seenOn = at?.replace(/^::ffff:(?=[\d.]+$)/i, '');
  return {
    ...rest,
    ...(uuid === undefined ? {} : { uuid }),
    ...(seenOn === undefined ? {} : { seenOn }),
  };
}
