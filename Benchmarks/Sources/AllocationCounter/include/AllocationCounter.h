/// The number of blocks that the calling thread has asked malloc and its relatives for.
unsigned long allocation_count(void);
