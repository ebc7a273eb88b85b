// Imported before anything else: TensorFlow takes memory from an allocator that counts, so that a trace of a run says
// how much is in use (op-times.ts).

process.env.TF_CPU_ALLOCATOR_USE_BFC = '1';
