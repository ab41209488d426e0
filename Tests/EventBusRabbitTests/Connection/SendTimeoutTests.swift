import ConnectionThread
import EventBus
import EventBusTesting
import Glibc
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct SendTimeoutTests {
    /// A shutdown cancels everything, and its last sends (waiting for confirms, closing) may block.
    @Test(arguments: [false, true])
    func `a send that is stuck is freed, also when all is cancelled`(isCancelled: Bool) async throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let (near, far) = (ends[0], ends[1])
        defer {
            shutdown(near, Int32(SHUT_RDWR))
            close(far)
        }
        let watch = SendTimeoutMonitor()
        let sendTimeout = SendTimeout(takingOver: dup(near))
        watch.add(sendTimeout)
        let (isStuck, isFreed) = (Switch(false), Switch(false))
        let task = Task {
            await watch.watching {
                await withCheckedContinuation { continuation in
                    _ = startDetachedThread(name: "test-stuck", stackSize: 1 << 20) {
                        isStuck.set(true)
                        // Represents a send: it returns when the socket is shut down.
                        sendTimeout.guarding {
                            var byte: UInt8 = 0
                            _ = recv(near, &byte, 1, 0)
                        }
                        isFreed.set(true)
                        continuation.resume()
                    }
                }
            }
        }
        try await eventually("stuck") { isStuck.isOn }
        let start = ContinuousClock.now
        if isCancelled { task.cancel() }
        try await eventually("freed", within: .seconds(5)) { isFreed.isOn }
        print("a stuck send was freed after \(start.duration(to: .now))")
        await task.value
        watch.remove(sendTimeout)
        close(near)
    }
}
