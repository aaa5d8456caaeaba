import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ControllerFacts } from '../domain/machine.ts';
import { askController, controllerInquiries } from './controller-facts.ts';
import { acceptedMachine, type Ground, newGround, newWorld, type World } from './fixture.ts';

const MAC = '52:54:00:00:00:01';
let ground: Ground;
let world: World;
let said: ControllerFacts | Error | undefined;
let asked: number;
let warned: unknown[];

beforeEach(async () => {
  ground = await newGround();
  world = await newWorld(ground);
  [said, asked, warned] = [undefined, 0, []];
});
afterEach(async () => {
  await world.close();
  await ground.clear();
});

const deps = () => ({
  catalogue: world.catalogue,
  clock: world.clock,
  log: { debug() {}, info() {}, error() {}, warn: (_fields: object, line: string) => void warned.push(line) },
  power: {
    perform: () => Promise.reject(new Error('not asked')),
    bootFromNetwork: () => Promise.reject(new Error('not asked')),
    facts: async () => {
      asked += 1;
      if (said instanceof Error) throw said;
      return said;
    },
  },
});
const machine = async () => {
  await acceptedMachine(world, MAC);
  return world.control.getMachine(MAC);
};

it('keeps what a controller says, checked and with its time', async () => {
  said = {
    vendor: ' Contoso ',
    serial: '',
    uuid: '00000000-0000-0000-0000-000000000000',
    mac: 'AA-BB-CC-00-00-01',
    watts: 170.4,
  };
  await askController(deps(), await machine(), AbortSignal.timeout(1000));
  expect((await world.control.getMachine(MAC)).controller).toEqual({
    vendor: 'Contoso',
    mac: 'aa:bb:cc:00:00:01',
    watts: 170,
    at: expect.stringMatching(/^\d{4}-/),
  });
});

it('leaves the record alone where no driver can say anything', async () => {
  const before = await machine();
  expect(await askController(deps(), before, AbortSignal.timeout(1000))).toBe(before);
});

it('asks for a machine that is seen once an hour, and a failure costs a line in the log', async () => {
  said = new Error('unreachable');
  const seen = await machine();
  const inquire = controllerInquiries(deps());
  for (let n = 0; n < 3; n++) inquire(seen);
  await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect([asked, warned]).toEqual([1, ['its management controller does not say what it is']]);
});
