import { deltaCodecConformance } from '@overdub/core/testing';
import { testBlocksCodec } from '../e2e/own-codec/codec.ts';

deltaCodecConformance('test-blocks', testBlocksCodec());
