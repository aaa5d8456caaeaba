/** Act four: the machine burns; the server returns on the other one. The dead box, switched on again, is held. */

import type { Machine, Operation } from '@overdub/core';
import { SERVER, SERVER_ADDRESS } from '../cast.ts';
import { movedBytes } from '../overdub.ts';
import type { Stage } from '../report.ts';
import type { Scene } from '../scene.ts';
import { checkDrift } from './break-in.ts';
import type { GoodState } from './drift.ts';

export async function burnAndMove(scene: Scene, stage: Stage, good: GoodState): Promise<void> {
  const { guest } = scene;
  const [first, second] = scene.machines;
  const keyBefore = await guest.hostKey();
  // What came after the good snapshot is suspect: the server's newest state worth keeping is taken now.
  const snapshot = await scene.overdub.json<Operation>(stage.say, 'snapshot', 'take', SERVER);
  stage.moved(movedBytes(snapshot));
  await first.powerOff();
  await first.replaceDisk();
  stage.say(`${first.name} is dead and its disk destroyed`);
  await scene.overdub.json(stage.say, 'machine', 'accept', second.name);
  const operation = await scene.overdub.json<Operation>(stage.say, 'move', SERVER, '--to', second.name);
  stage.moved(movedBytes(operation));
  stage.check('moved', operation.state === 'done', `onto ${second.name}`);
  await guest.eventually('ssh', () => guest.sh('true'));
  const page = await guest.eventually('nginx', () => guest.page());
  stage.check('same page, same address', page.includes('version 2'), `http://${SERVER_ADDRESS}/`);
  stage.check('same SSH host key', (await guest.hostKey()) === keyBefore, keyBefore.slice(0, 40));
  const root = await guest.sh('findmnt -no SOURCE /');
  stage.check('other hardware', root.startsWith('/dev/nvme'), root);
  await checkDrift(scene, stage, good);
}

export async function deadBoxReturns(scene: Scene, stage: Stage): Promise<void> {
  const [first] = scene.machines;
  const before = await find(scene, first.mac);
  await first.powerOn();
  stage.say(`${first.name} is switched on again`);
  const back = await scene.guest.eventually(`${first.name} in the ramdisk`, async () => {
    const machine = await find(scene, first.mac);
    if (Date.parse(machine.lastSeenAt) <= Date.parse(before.lastSeenAt)) throw new Error('not seen yet');
    if (machine.admission !== 'held') throw new Error(`its admission is ${machine.admission}`);
    return machine;
  });
  stage.check(
    'it is held',
    back.admission === 'held' && back.serverName === undefined,
    back.admissionReason ?? '',
  );
  stage.check('the server is unharmed', (await scene.guest.page()).includes('version 2'));
  await first.powerOff();
}

/** A silent appliance stops nobody from booting. */
export async function applianceOff(scene: Scene, stage: Stage): Promise<void> {
  const [, second] = scene.machines;
  await scene.appliance.stop();
  await second.powerOff();
  await second.powerOn();
  stage.say(`the appliance is switched off, ${second.name} is power-cycled`);
  const page = await scene.guest.eventually('nginx', () => scene.guest.page(), 900_000);
  stage.check('the server boots without the appliance', page.includes('version 2'));
}

async function find(scene: Scene, mac: string): Promise<Machine> {
  const machine = (await scene.overdub.quiet<Machine[]>('machine', 'list')).find((candidate) =>
    candidate.macs.includes(mac),
  );
  if (machine === undefined) throw new Error(`the appliance does not know ${mac}`);
  return machine;
}
