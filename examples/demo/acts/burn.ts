/** Act four: the machine burns; the server returns on the other one. The dead box, switched on again, is held. */

import type { Machine, Operation, Server } from '@overdub/core';
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
  await first.powerOff();
  await first.replaceDisk();
  stage.say(`${first.name} is dead and its disk destroyed`);
  await scene.overdub.json(stage.say, 'machine', 'accept', second.name);
  const operation = await scene.overdub.json<Operation>(stage.say, 'move', SERVER, '--to', second.name);
  stage.moved(movedBytes(operation));
  stage.check('moved', operation.state === 'done', `onto ${second.name}`);
  await guest.eventually('ssh', () => guest.connect());
  const page = await guest.eventually('nginx', () => guest.page());
  stage.check('same page, same address', page.includes('version 2'), `http://${SERVER_ADDRESS}/`);
  stage.check('same SSH host key', (await guest.hostKey()) === keyBefore, keyBefore.slice(0, 40));
  const root = await guest.sh('findmnt -no SOURCE /');
  stage.check('other hardware', root.startsWith('/dev/nvme'), root);
  await checkDrift(scene, stage, good);
}

export async function deadBoxReturns(scene: Scene, stage: Stage): Promise<void> {
  const [first] = scene.machines;
  await first.powerOn();
  stage.say(`${first.name} is switched on again`);
  const [line] = await first.waitForConsole(/^.*\bheld\b.*$/m, { signal: AbortSignal.timeout(900_000) });
  const machine = await scene.overdub.quiet<Machine>('machine', 'show', first.name);
  const server = await scene.overdub.quiet<Server>('server', 'show', SERVER);
  stage.check('it is held', line !== '', line.trim());
  stage.check(
    'its assignment has passed on',
    machine.id !== server.machineId && (machine.generation ?? 0) < server.generation,
    `${machine.generation ?? 0} < ${server.generation}`,
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
