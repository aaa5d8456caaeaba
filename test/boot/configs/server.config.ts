/** The DHCP server of its own network and of one behind a relay. */

import { bootConfig, SERVER } from './plugins.ts';

export default bootConfig(SERVER);
