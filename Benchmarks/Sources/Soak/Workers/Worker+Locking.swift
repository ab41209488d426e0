import EventBus
import EventBusRedis
import Logging
import SoakAudit

extension Worker {
    /// Competes for locks, until the process is asked to end.
    func lock() async throws {
        let client = try redis()
        let lock = RedisLock(client)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<UInt8(8) {
                group.addTask {
                    var generator = SeededGenerator(seed: LedgerRecord.now() ^ UInt64(task))
                    while !Self.mustStop {
                        let resource = UInt64.random(in: 0..<UInt64(WorkerSettings.resources), using: &generator)
                        // Now and then for longer than a lease, which has to be renewed meanwhile.
                        let isLong = Int.random(in: 0..<200, using: &generator) == 0
                        let work = isLong ? 4_000 : Int.random(in: 1...30, using: &generator)
                        await use(resource, of: lock, task: task, for: .milliseconds(work))
                        try? await Task.sleep(for: .milliseconds(Int.random(in: 20...200, using: &generator)))
                    }
                }
            }
        }
        await client.close()
    }

    private func use(_ resource: UInt64, of lock: RedisLock, task: UInt8, for work: Duration) async {
        ledger.record(.lockRequested, number: resource, code: task)
        do {
            let name = "resource-\(resource)"
            let lease = Duration.seconds(WorkerSettings.lease)
            let wait = Duration.seconds(WorkerSettings.lockWait)
            if settings.plantedBug == .releaseEarly {
                let fence = try await lock.withLock(name, ttl: lease, wait: wait) { $0.fencingToken }
                await hold(resource, fence: fence, task: task, for: work)
            } else {
                try await lock.withLock(name, ttl: lease, wait: wait) { lease in
                    await hold(resource, fence: lease.fencingToken, task: task, for: work)
                }
            }
        } catch {
            ledger.record(.lockFailed, number: resource, code: task)
            logger.notice("resource-\(resource): \(error)")
        }
    }

    private func hold(_ resource: UInt64, fence: UInt64, task: UInt8, for work: Duration) async {
        ledger.record(.lockAcquired, number: resource, extra: fence, code: task)
        // A lost lease cancels it.
        try? await Task.sleep(for: work)
        ledger.record(.lockReleased, number: resource, extra: fence, code: task)
    }
}
