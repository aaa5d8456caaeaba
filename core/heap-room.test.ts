import { setFlagsFromString } from 'node:v8';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { takeRoom, withRoom } from './heap-room.ts';

vi.mock('node:v8', { spy: true });

describe('a heap with room', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.mocked(setFlagsFromString).mockReset();
  });

  it('has it while the work runs, and no longer, whatever comes of it', async () => {
    vi.stubGlobal('gc', () => undefined);
    const flags = vi.mocked(setFlagsFromString).mockImplementation(() => undefined);
    expect(await withRoom(300, async () => flags.mock.calls.flat())).toEqual(['--heap-growing-percent=300']);
    expect(flags.mock.lastCall).toEqual(['--heap-growing-percent=100']);
    await expect(withRoom(200, () => Promise.reject(new Error('it failed')))).rejects.toThrow('it failed');
    expect(flags.mock.lastCall).toEqual(['--heap-growing-percent=100']);
  });

  it('has as much as the one of several wants that wants the most', () => {
    vi.stubGlobal('gc', () => undefined);
    const flags = vi.mocked(setFlagsFromString).mockImplementation(() => undefined);
    const [small, large] = [takeRoom(200), takeRoom(300)];
    expect(flags.mock.lastCall).toEqual(['--heap-growing-percent=300']);
    large();
    expect(flags.mock.lastCall).toEqual(['--heap-growing-percent=200']);
    large();
    small();
    expect(flags.mock.lastCall).toEqual(['--heap-growing-percent=100']);
  });

  it('is left as it is without leave', async () => {
    vi.stubGlobal('gc', undefined);
    expect(await withRoom(300, async () => 'done')).toBe('done');
    expect(setFlagsFromString).not.toHaveBeenCalled();
  });
});
