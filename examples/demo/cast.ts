/** Who is on stage: two unlike machines, one server, and where things are. */

export const APPLIANCE_ADDRESS = '10.77.0.1';
export const SERVER_ADDRESS = '10.77.0.50';
export const SERVER = 'web-1';
export const MASTER = 'web';

/** Snapshot interval of the demo, seconds. */
export const INTERVAL_SECONDS = 20;

export const MACHINES = [
  {
    name: 'machine-1',
    mac: '52:54:00:0d:0b:01',
    uuid: '0e8c1c4e-7a3f-4a87-9d53-6d5a0f0d0b01',
    disk: { kind: 'virtio', bytes: 6 * 1024 ** 3, serial: 'OVERDUB-A' },
  },
  {
    name: 'machine-2',
    mac: '52:54:00:0d:0b:02',
    uuid: '0e8c1c4e-7a3f-4a87-9d53-6d5a0f0d0b02',
    disk: { kind: 'nvme', bytes: 9 * 1024 ** 3, serial: 'OVERDUB-B' },
  },
] as const;

/** What the intruder patches and defaces, relative to the root. */
export const PATCHED_BINARY = 'usr/bin/stat';
export const DEFACED_PAGE = 'var/www/html/index.html';
export const DEFACED_TEXT = '<h1>owned</h1>';
