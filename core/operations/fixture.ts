/** A small world for tests of operations: real catalogue and engine, machines and repository in memory. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Catalogue, openCatalogue } from '../catalogue/catalogue.ts';
import { openStateDirectory, type StateDirectory } from '../catalogue/state-directory.ts';
import type { ApplianceControl } from '../contracts/control.ts';
import type { AgentPolicy } from '../contracts/gateway.ts';
import type { ImageSource } from '../contracts/image-source.ts';
import { createControl } from '../control.ts';
import type { Event } from '../domain/event.ts';
import type { MachineFacts } from '../domain/machine.ts';
import type { Entry, ManifestRef } from '../domain/manifest.ts';
import type { Operation } from '../domain/operation.ts';
import type { InstallTask } from '../domain/protocol.ts';
import type { Snapshot } from '../domain/snapshot.ts';
import { createHooks } from '../hooks/attribution.ts';
import { netbootService } from '../netboot/service.ts';
import { sightings } from '../netboot/sighting.ts';
import { powerService } from '../power/power.ts';
import { FakeAgents } from '../testing/fakes/agent-tasks.ts';
import { ManualClock } from '../testing/fakes/manual-clock.ts';
import { MemoryRepository } from '../testing/fakes/memory-repository.ts';
import { recordingLog } from '../testing/fakes/recording-log.ts';
import { agentPolicy } from './agent-policy.ts';
import { allOperations } from './all.ts';
import { bootWish } from './boot-wish.ts';
import { controllers } from './controller-facts.ts';
import { credentialIssuer } from './credentials.ts';
import { createEngine, type Engine } from './engine.ts';
import { createEventBus, type EventBus } from './events.ts';
import { serverBook } from './server-book.ts';
import type { OperationServices } from './services.ts';

export const MIB = 1024 * 1024;
export const MAC_1 = '52:54:00:00:00:01';
export const MAC_2 = '52:54:00:00:00:02';

export interface World {
  readonly catalogue: Catalogue;
  readonly repository: MemoryRepository;
  readonly agents: FakeAgents;
  readonly clock: ManualClock;
  readonly hooks: ReturnType<typeof createHooks>;
  readonly events: EventBus;
  readonly told: Event[];
  readonly services: OperationServices;
  readonly engine: Engine;
  readonly policy: AgentPolicy;
  readonly netboot: ReturnType<typeof netbootService>;
  readonly control: ApplianceControl;
  /** Image sources by path. */
  readonly sources: Map<string, () => ImageSource>;
  close(): Promise<void>;
  /** As a killed process: files are let go, nothing that is under way is waited for. */
  kill(): Promise<void>;
}

/** What outlives the appliance: its disk, its repository, the machines, the time. */
export interface Ground {
  readonly directory: string;
  readonly repository: MemoryRepository;
  readonly agents: FakeAgents;
  readonly clock: ManualClock;
  clear(): Promise<void>;
}

export async function newGround(): Promise<Ground> {
  const directory = await mkdtemp(join(tmpdir(), 'overdub-operations-'));
  return {
    directory,
    repository: new MemoryRepository(),
    agents: new FakeAgents(),
    clock: new ManualClock(),
    clear: () => rm(directory, { recursive: true, force: true }),
  };
}

export interface WorldOptions {
  /** Called before each write of an operation; one that never resolves is a killed appliance. */
  readonly beforeSave?: (operation: Operation) => Promise<void>;
}

/** An appliance on the ground, operations not yet resumed. */
export async function newWorld(ground: Ground, options: WorldOptions = {}): Promise<World> {
  const { repository, agents, clock } = ground;
  const state = await openStateDirectory(ground.directory);
  const opened = await openCatalogue(ground.directory);
  const catalogue: Catalogue = {
    ...opened,
    operations: {
      ...opened.operations,
      async save(operation) {
        await options.beforeSave?.(operation);
        await opened.operations.save(operation);
      },
    },
  };
  return assemble({ state, catalogue, repository, agents, clock });
}

function assemble(base: {
  state: StateDirectory;
  catalogue: Catalogue;
  repository: MemoryRepository;
  agents: FakeAgents;
  clock: ManualClock;
}): World {
  const { state, catalogue, repository, agents, clock } = base;
  const log = recordingLog();
  const told: Event[] = [];
  const sources = new Map<string, () => ImageSource>();
  const events = createEventBus({
    clock,
    log,
    notify: async (event) => {
      told.push(event);
    },
  });
  const hooks = createHooks(() => undefined);
  const services: OperationServices = {
    catalogue,
    repository,
    agents,
    servers: serverBook({ records: catalogue.servers, repository, events, log }),
    credentials: credentialIssuer(catalogue, state.key),
    power: powerService({ hooks, clock, log }),
    clock,
    log,
    events,
    openOperations: () => engine.open(),
    submit: (request) => engine.submit(request),
    wait: (id, options) => engine.wait(id, options),
    openSource: async (path) => sources.get(path)?.(),
  };
  const definitions = allOperations(services);
  const engine = createEngine({ records: catalogue.operations, definitions, clock, log, events });
  const seen = sightings({ catalogue, hooks, clock, log, events });
  const policy = agentPolicy({ ...services, engine, seeMachine: seen.see });
  const netboot = netbootService({
    catalogue,
    sightings: seen,
    hooks,
    clock,
    log,
    bootWish: (machineId) => bootWish(engine.open(), machineId),
  });
  hooks.tapsFor('boot-test').boot.render.tap(({ plan }) => ({ kind: 'script', text: plan.nonce }));
  const control = createControl({
    ...services,
    engine,
    controllers: controllers({ ...services, readmit: seen.readmit }),
    version: '0.0.0',
    startedAt: '',
    state: state.path,
    plugins: () => [],
  });
  agents.bootPlan = async (machineId) => {
    const machine = await catalogue.machines.get(machineId);
    const answer = await netboot.answer(bootRequest(machine?.macs[0] ?? ''));
    return answer.plan.kind;
  };
  agents.takeSnapshot = async (task) => {
    const { id: machineId } = (await catalogue.machines.list()).find(
      (each) => each.serverName === task.server.name && each.generation === task.server.generation,
    ) ?? { id: undefined };
    const taken = {
      ...snapshotOf(task.server.name, clock.now(), bootableImage(repository, `state at ${clock.now()}`)),
      reason: task.reason,
      suspect: task.suspect,
      pinned: task.reason === 'safety',
      ...(machineId === undefined ? {} : { machineId }),
    };
    await repository.commitSnapshot(taken);
    await policy.snapshotCommitted(taken);
    return taken;
  };
  return {
    catalogue,
    repository,
    agents,
    clock,
    hooks,
    events,
    told,
    services,
    engine,
    policy,
    netboot,
    control,
    sources,
    async close() {
      await engine.stop();
      await catalogue.close();
      state.release();
    },
    async kill() {
      void engine.stop();
      await clock.advance(0);
      await catalogue.close();
      state.release();
    },
  };
}

export function bootRequest(mac: string, uuid?: string) {
  return {
    mac,
    ...(uuid === undefined ? {} : { uuid }),
    arch: 'bios-x86' as const,
    client: 'ipxe' as const,
    baseUrl: 'http://10.0.0.1:7077',
  };
}

export function fileEntry(repository: MemoryRepository, path: string, text: string): Entry {
  const content = repository.content(text);
  return { path, type: 'file', mode: 0o644, uid: 0, gid: 0, mtimeNs: '1', content };
}

/** An image with a kernel and one file of its own. */
export function bootableImage(repository: MemoryRepository, text: string): ManifestRef {
  return repository.image([
    fileEntry(repository, 'boot/vmlinuz-6.1.0-9-amd64', 'kernel'),
    fileEntry(repository, 'boot/initrd.img-6.1.0-9-amd64', 'initrd'),
    fileEntry(repository, 'etc/motd', text),
  ]);
}

let snapshots = 0;

export function snapshotOf(server: string, atMs: number, manifest: ManifestRef): Snapshot {
  const at = new Date(atMs).toISOString();
  snapshots += 1;
  return {
    id: `s${atMs}-${String(snapshots).padStart(6, '0')}`,
    server,
    manifest,
    startedAt: at,
    endedAt: at,
    consistency: 'crash',
    reason: 'schedule',
    suspect: false,
    pinned: false,
    skipped: [],
    skippedTotal: 0,
    stats: { bytesReceived: 0, bytesSent: 0, bytesStored: 0, filesChanged: 0 },
  };
}

export function factsOf(mac: string, over: Partial<MachineFacts> = {}): MachineFacts {
  return {
    firmware: 'bios',
    arch: 'x86_64',
    cpu: { model: 'test', cores: 2 },
    memoryBytes: 2048 * MIB,
    disks: [
      {
        name: 'vda',
        bytes: 8192 * MIB,
        sectorBytes: 512,
        transport: 'virtio',
        removable: false,
        serial: 'd1',
      },
    ],
    nics: [{ name: 'eth0', mac }],
    dmi: {},
    ...over,
  };
}

/** A machine that booted into the ramdisk, reported its facts and was accepted. */
export async function acceptedMachine(world: World, mac: string, facts = factsOf(mac)): Promise<string> {
  const { plan, machine } = await world.netboot.answer(bootRequest(mac));
  if (plan.kind !== 'ramdisk' || machine === undefined) throw new Error(`${mac} got ${plan.kind}`);
  await world.control.acceptMachine(machine.id, 'test');
  const hello = { protocol: 1, where: 'ramdisk', bootId: `first-${mac}`, nonce: plan.nonce, facts } as const;
  await world.policy.admit(hello, { ip: '10.0.0.9' });
  await world.agents.powerOn(machine.id);
  return machine.id;
}

/** `web@1` with a kernel, committed. */
export async function webMaster(world: World): Promise<void> {
  await world.repository.commitMaster({
    name: 'web',
    version: 1,
    kind: 'tree',
    arch: 'x86_64',
    manifest: bootableImage(world.repository, 'master'),
    importedAt: new Date(world.clock.now()).toISOString(),
    source: '/masters/web',
  });
}

/** Waits for an operation's end while time passes. */
export async function ended(world: World, operation: Operation): Promise<Operation> {
  let last: Operation | undefined;
  const waiting = world.engine.wait(operation.id).then((end) => {
    last = end;
  });
  for (let second = 0; last === undefined && second < 3600; second++) await world.clock.advance(1000);
  if (last === undefined) throw new Error(`${operation.id} does not end`);
  await waiting;
  return last;
}

/** Lets time pass until the condition holds. */
export async function until(world: World, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let second = 0; second < 3600; second++) {
    if (await condition()) return;
    await world.clock.advance(1000);
  }
  throw new Error('it never came to that');
}

/** What the agents carried out, in order; a reboot with where to. */
export function taskNames({ agents }: World): string[] {
  return agents.done.map((task) => (task.kind === 'reboot' ? `reboot-${task.to}` : task.kind));
}

export function installTasks({ agents }: World): InstallTask[] {
  return agents.done.filter((task): task is InstallTask => task.kind === 'install');
}

/** A world in which `web-1` runs on a machine. */
export async function runningServer(
  world: World,
  mac = MAC_1,
): Promise<{ machineId: string; provisioned: Operation }> {
  await webMaster(world);
  const machineId = await acceptedMachine(world, mac);
  await world.control.createServer({ name: 'web-1', master: 'web', address: '10.0.0.17' }, 'test');
  const provisioned = await ended(world, await world.control.assignServer('web-1', machineId, 'test'));
  if (provisioned.state !== 'done') throw new Error(JSON.stringify(provisioned.error));
  return { machineId, provisioned };
}
