import { deltaCodecConformance } from '@overdub/core/testing';
import { testBlocksCodec } from './codec.ts';

deltaCodecConformance('test-blocks', testBlocksCodec());
