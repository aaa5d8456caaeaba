import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Hello } from '../domain/protocol.ts';
import {
  acceptedMachine,
  bootableImage,
  bootRequest,
  factsOf,
  type Ground,
  MAC_1,
  MAC_2,
  newGround,
  newWorld,
  runningServer,
  snapshotOf,
  type World,
} from './fixture.ts';

const IP = { ip: '10.0.0.9' };

let ground: Ground;
let world: World;

beforeEach(async () => {
  ground = await newGround();
  world = await newWorld(ground);
});
afterEach(async () => {
  await world.close();
  await ground.clear();
});

async function nonceFor(mac: string): Promise<string> {
  const { plan } = await world.netboot.answer(bootRequest(mac));
  if (plan.kind !== 'ramdisk') throw new Error(plan.kind);
  return plan.nonce;
}

const ramdisk = (nonce: string, over: Partial<Hello> = {}): Hello => ({
  protocol: 1,
  where: 'ramdisk',
  bootId: 'boot-1',
  nonce,
  facts: factsOf(MAC_1),
  ...over,
});
const installed = (credential: string, over: Partial<Hello> = {}): Hello => ({
  protocol: 1,
  where: 'server',
  bootId: 'boot-1',
  credential,
  ...over,
});

describe('a ramdisk', () => {
  it('of a held machine reports its facts and waits', async () => {
    const { identity, welcome } = await world.policy.admit(ramdisk(await nonceFor(MAC_1)), IP);
    expect(welcome).toMatchObject({ standing: 'held', machineName: 'machine-000001' });
    expect((await world.control.getMachine(MAC_1)).facts?.cpu.model).toBe('test');
    expect(identity.machineId).toBe((await world.control.getMachine(MAC_1)).id);
  });

  it('is let go on as soon as its machine is accepted, in the same session', async () => {
    const hello = ramdisk(await nonceFor(MAC_1));
    const { identity } = await world.policy.admit(hello, IP);
    await world.control.acceptMachine(MAC_1, 'ann');
    expect((await world.policy.readmit?.(identity, hello))?.welcome.standing).toBe('waiting');
    await world.control.forgetMachine(MAC_1, 'ann');
    await expect(world.policy.readmit?.(identity, hello)).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
  });

  it('comes in once a nonce', async () => {
    const nonce = await nonceFor(MAC_1);
    await world.policy.admit(ramdisk(nonce), IP);
    const other = world.policy.admit(ramdisk(nonce, { bootId: 'boot-2' }), IP);
    await expect(other).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    await expect(world.policy.admit(ramdisk('f'.repeat(64)), IP)).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
    });
  });

  it('that reports other hardware than its nonce’s machine is held as a machine of its own', async () => {
    const id = await acceptedMachine(world, MAC_1);
    const hello = ramdisk(await nonceFor(MAC_1), { facts: factsOf(MAC_2) });
    const { identity, welcome } = await world.policy.admit(hello, IP);
    expect(welcome.standing).toBe('held');
    expect(identity.machineId).not.toBe(id);
    expect((await world.control.getMachine(MAC_2)).admissionReason).toMatch(/other hardware/);
    expect((await world.control.getMachine(id)).macs).toEqual([MAC_1]);
  });

  it('without a network card is refused', async () => {
    const hello = ramdisk(await nonceFor(MAC_1), { facts: factsOf(MAC_1, { nics: [] }) });
    await expect(world.policy.admit(hello, IP)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});

describe('an installed agent', () => {
  async function credentialOf(): Promise<string> {
    await runningServer(world, MAC_1);
    const task = world.agents.done.find((each) => each.kind === 'install');
    return task?.kind === 'install' ? task.credential : '';
  }

  it('is told its schedule', async () => {
    const credential = await credentialOf();
    await world.control.setServer('web-1', { schedule: { everySeconds: 20, jitterSeconds: 5 } }, 'ann');
    const { welcome } = await world.policy.admit(installed(credential), IP);
    expect(welcome).toMatchObject({ server: 'web-1', schedule: { everySeconds: 20, jitterSeconds: 5 } });
  });

  it('on hardware that is not its machine is held: a disk was moved or copied', async () => {
    const credential = await credentialOf();
    const { identity } = await world.policy.admit(installed(credential, { facts: factsOf(MAC_2) }), IP);
    expect(identity).toMatchObject({ standing: 'held' });
    expect(identity.server).toBeUndefined();
    const taking = world.policy.beginSnapshot(identity, { server: 'web-1', reason: 'schedule' });
    await expect(taking).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
  });

  it('loses what it had when its server passes on, within the session too', async () => {
    const credential = await credentialOf();
    const hello = installed(credential);
    const { identity } = await world.policy.admit(hello, IP);
    await world.control.releaseServer('web-1', 'ann');
    expect((await world.policy.readmit?.(identity, hello))?.identity).toMatchObject({ standing: 'held' });
    const image = bootableImage(world.repository, 'master');
    expect(await world.policy.mayRead(identity, image)).toBe(false);
  });

  it('with a credential nobody issued is refused', async () => {
    await credentialOf();
    for (const wrong of ['', 'ova_guess', 'ovt_guess']) {
      await expect(world.policy.admit(installed(wrong), IP)).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    }
  });

  it('opens its own snapshots, one at a time, and ends them', async () => {
    const { identity } = await world.policy.admit(installed(await credentialOf()), IP);
    await world.control.setServer('web-1', { compression: 'fast' }, 'ann');
    const task = await world.policy.beginSnapshot(identity, { server: 'web-1', reason: 'schedule' });
    expect(task).toMatchObject({
      trust: 'stat',
      suspect: false,
      server: { name: 'web-1', generation: 1, compression: 'fast' },
    });
    const again = world.policy.beginSnapshot(identity, { server: 'web-1', reason: 'schedule' });
    await expect(again).rejects.toMatchObject({ code: 'CONFLICT' });
    const snapshot = snapshotOf('web-1', world.clock.now(), bootableImage(world.repository, 'now'));
    await world.policy.endSnapshot(task, { snapshot });
    expect(await world.engine.get(task.operation)).toMatchObject({
      state: 'done',
      requestedBy: 'agent of web-1',
      result: { snapshot: snapshot.id },
    });
  });

  it('reads its own snapshots and its master, nobody else’s', async () => {
    const { identity } = await world.policy.admit(installed(await credentialOf()), IP);
    await world.control.createServer({ name: 'other' }, 'ann');
    const image = (text: string) => bootableImage(world.repository, text);
    await world.repository.commitSnapshot(snapshotOf('web-1', 1, image('mine')));
    await world.repository.commitSnapshot(snapshotOf('other', 1, image('theirs')));
    expect(await world.policy.mayRead(identity, image('mine'))).toBe(true);
    expect(await world.policy.mayRead(identity, image('master'))).toBe(true);
    expect(await world.policy.mayRead(identity, image('theirs'))).toBe(false);
    expect(await world.policy.mayRead(identity, image('nobody’s'))).toBe(false);
  });
});

describe('the directory door', () => {
  async function token(role: 'viewer' | 'operator', server?: string): Promise<string> {
    await world.control.createServer({ name: 'box' }, 'ann').catch(() => undefined);
    return (await world.control.createToken({ name: 'door', role, ...(server && { server }) }, 'ann')).secret;
  }

  it('opens to an operator’s token, for the server it names', async () => {
    const { identity } = await world.policy.admit(installed(await token('operator'), { server: 'box' }), IP);
    expect(identity).toMatchObject({ server: 'box', by: 'door', standing: 'assigned' });
    const task = await world.policy.beginSnapshot(identity, { server: 'box', reason: 'safety' });
    expect(task).toMatchObject({ trust: 'nothing', suspect: true });
  });

  it('opens to a server’s own token for that server only', async () => {
    await world.control.createServer({ name: 'other' }, 'ann');
    const secret = await token('operator', 'box');
    expect((await world.policy.admit(installed(secret), IP)).identity.server).toBe('box');
    const wrong = world.policy.admit(installed(secret, { server: 'other' }), IP);
    await expect(wrong).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
  });

  it('stays shut for viewers, unnamed and unknown servers, and ramdisks', async () => {
    const operator = await token('operator');
    const attempts: [Hello, string][] = [
      [installed(await token('viewer'), { server: 'box' }), 'UNAUTHORIZED'],
      [installed(operator), 'INPUT_INVALID'],
      [installed(operator, { server: 'nope' }), 'NOT_FOUND'],
      [installed(operator, { server: 'box', where: 'ramdisk' }), 'UNAUTHORIZED'],
    ];
    for (const [hello, code] of attempts) {
      await expect(world.policy.admit(hello, IP)).rejects.toMatchObject({ code });
    }
  });

  it('gives an image to go back to', async () => {
    const { identity } = await world.policy.admit(installed(await token('operator'), { server: 'box' }), IP);
    const taken = snapshotOf('box', world.clock.now(), bootableImage(world.repository, 'x'));
    await world.repository.commitSnapshot(taken);
    const request = { server: 'box', selector: 'latest', dryRun: false, keep: ['a'], only: [] };
    const task = await world.policy.beginRestore(identity, request);
    expect(task).toMatchObject({ image: taken.manifest, keep: ['a'], credential: '' });
    const nothing = world.policy.beginRestore(identity, { ...request, selector: 'nope' });
    await expect(nothing).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('a committed snapshot', () => {
  it('lets those go that the policy no longer keeps, and tells of each', async () => {
    await world.control.createServer(
      { name: 'box', retention: { last: 2, hourly: 0, daily: 0, withinSeconds: 0 } },
      'ann',
    );
    for (let number = 0; number < 4; number++) {
      await world.clock.advance(60_000);
      const taken = snapshotOf('box', world.clock.now(), bootableImage(world.repository, `v${number}`));
      await world.repository.commitSnapshot(taken);
      await world.policy.snapshotCommitted(taken);
    }
    await world.clock.advance(1000);
    expect(await world.control.listSnapshots('box')).toHaveLength(2);
    const types = world.told.map(({ type }) => type);
    expect(types.filter((type) => type === 'snapshot.committed')).toHaveLength(4);
    expect(types.filter((type) => type === 'snapshot.removed')).toHaveLength(2);
  });

  it('stays committed when retention fails', async () => {
    await world.control.createServer({ name: 'box' }, 'ann');
    const orphan = snapshotOf('forgotten', 1, bootableImage(world.repository, 'x'));
    await world.repository.commitSnapshot(orphan);
    await expect(world.policy.snapshotCommitted(orphan)).resolves.toBeUndefined();
    expect(await world.repository.getSnapshot('forgotten', orphan.id)).toBeDefined();
  });
});
