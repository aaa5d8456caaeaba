/** The DHCP server of its own network and of one behind a relay. */

import { bootConfig } from './plugins.ts';

export default bootConfig({
  mode: 'server',
  pool: { from: '10.77.0.100', to: '10.77.0.150' },
  subnets: [{ network: '10.88.0.0/24', pool: { from: '10.88.0.50', to: '10.88.0.60' } }],
  probeSeconds: 0.5,
});
