import EventBus
import Testing

@testable import EventBusRedis

/// Locks and caches that several clients of a cluster use at the same time.
///
/// It looks for fences that do not grow, for two holders at once, and for values older than the last written one.
final class ClusterLoad: Sendable {
    /// The resources that are locked, each with the greatest fence that it has received.
    private let fences = Shared<[UInt64]>(Array(repeating: 0, count: 8))
    private let record = Shared(Record())
    private let clients: [RedisClient]

    private struct Record {
        var acquisitions = [Int](repeating: 0, count: 8)
        var reads = [Int](repeating: 0, count: 6)
        var problems: [Problem] = []
    }

    enum Problem: Equatable {
        case fenceDidNotGrow
        case twoHolders
        case staleValue
    }

    init(_ fleet: ClusterFleet) throws {
        clients = try (0..<3).map { _ in try fleet.client { $0.commandTimeout = .seconds(2) } }
    }

    var problems: [Problem] { record.value.problems }
    /// The number of acquisitions of each resource.
    var acquisitions: [Int] { record.value.acquisitions }
    /// The number of reads of each key.
    var reads: [Int] { record.value.reads }

    /// The slots of all locks and cache entries.
    var slots: [Int] {
        acquisitions.indices.map { HashSlot.of(LockKeys(prefix: "eventbus", resource: "r-\($0)").holder.utf8) }
            + reads.indices.map { HashSlot.of(CacheKeys(prefix: "eventbus").entry("c-\($0)").utf8) }
    }

    /// Runs the load while `body` runs.
    func run(while body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in clients {
                for _ in 0..<4 { group.addTask { await self.lock(RedisLock(client)) } }
            }
            for index in reads.indices {
                let (writer, reader) = (RedisCache(clients[0]), RedisCache(clients[1]))
                group.addTask { await self.cache(index, writer, reader) }
            }
            try await body()
            group.cancelAll()
        }
    }

    private func lock(_ lock: RedisLock) async {
        while !Task.isCancelled {
            let index = Int.random(in: acquisitions.indices)
            let before = fences.value[index]
            // A grant, its renewal or its release may fail while the cluster changes.
            try? await lock.withLock("r-\(index)", ttl: .seconds(2), wait: .seconds(20)) { [self] lease in
                let fence = lease.fencingToken
                if fence <= before { note(.fenceDidNotGrow) }
                // The resource refuses a late holder, who has to know that the lease is over.
                if !accept(fence, index), (try? lease.check()) != nil { note(.twoHolders) }
                await Task.yield()
                if fences.value[index] != fence, (try? lease.check()) != nil { note(.twoHolders) }
                record.change { $0.acquisitions[index] += 1 }
            }
            // The servers need a part of the processors.
            try? await Task.sleep(for: .milliseconds(1))
        }
    }

    private func accept(_ fence: UInt64, _ index: Int) -> Bool {
        var isAccepted = false
        fences.change { fences in
            isAccepted = fence > fences[index]
            fences[index] = max(fence, fences[index])
        }
        return isAccepted
    }

    private func cache(_ index: Int, _ writer: RedisCache, _ reader: RedisCache) async {
        var number = 0
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(1))
            let options = CacheOptions(ttl: .seconds(600))
            guard (try? await writer.set(number, for: "c-\(index)", options: options)) != nil else { continue }
            let value = try? await reader.value(for: "c-\(index)", as: Int.self, options: options) { Int.max }
            if let value, value < number { note(.staleValue) }
            record.change { $0.reads[index] += 1 }
            number += 1
        }
    }

    private func note(_ problem: Problem) {
        record.change { $0.problems.append(problem) }
    }
}
