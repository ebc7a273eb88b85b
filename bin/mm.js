#!/usr/bin/env node
try {
  const { main } = await import('../dist/cli/main.js');
  await main(process.argv.slice(2));
} catch (error) {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.includes('dist')) throw error;
  console.error('error: mm is not built\n  fix: npm install && npm run build\n  code: E_NOT_BUILT');
  process.exitCode = 1;
}
