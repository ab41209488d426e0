import EventBus

@testable import EventBusRedis

/// Acquires a lease, waits until it was renewed in the background, and releases it.
func awaitRenewal(by lock: RedisLock) async throws {
    let grant = try await lock.acquire("sku", ttl: .seconds(3), wait: .zero)
    let renewed = Signal()
    lock.startRenewing(grant) { outcome in if (try? outcome.get()) != nil { renewed.raise() } }
    try await renewed.wait()
    lock.stopRenewing(grant)
    try await lock.release(grant)
}
