#!/usr/bin/env node
/**
 * Where the program begins. libuv makes its threads when they are first needed, and Node needs them to read the first
 * ES module; so their number can only be set in a file that is none. Four of them, libuv's default, would let four slow
 * fsyncs hold up every cached read.
 */
process.env['UV_THREADPOOL_SIZE'] ??= '16';
void import('./main.ts');
