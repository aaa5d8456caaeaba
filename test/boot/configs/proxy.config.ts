/** Beside the network's own DHCP server. */

import { bootConfig } from './plugins.ts';

export default bootConfig({ mode: 'proxy' });
