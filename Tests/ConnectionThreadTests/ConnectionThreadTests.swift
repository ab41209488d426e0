import ConnectionThread
import EventBus
import Glibc
import Testing

@Suite(.timeLimit(.minutes(2)), .serialized)
struct ConnectionThreadTests {
    @Test func `an actor on a connection thread runs on that thread alone`() async throws {
        let probe = Probe(thread: try ConnectionThread(name: "probe"))
        let first = await probe.identity()
        let second = await probe.identity()
        #expect(first == second)
        #expect(first != UInt(pthread_self()))
    }

    @Test func `jobs run in the order they were enqueued`() async throws {
        let thread = try ConnectionThread(name: "order")
        let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
        for number in 0..<1000 {
            OrderedJob {
                continuation.yield(number)
                if number == 999 { continuation.finish() }
            }.run(on: thread)
        }
        let received = await stream.reduce(into: []) { $0.append($1) }
        #expect(received == Array(0..<1000))
    }

    @Test func `bodies and jobs share one queue`() async throws {
        let thread = try ConnectionThread(name: "mixed")
        let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
        thread.execute { continuation.yield(thread.isCurrent ? 1 : 0) }
        OrderedJob { continuation.yield(2) }.run(on: thread)
        thread.execute {
            continuation.yield(3)
            continuation.finish()
        }
        #expect(await stream.reduce(into: []) { $0.append($1) } == [1, 2, 3])
    }

    @Test func `isolation is known on the thread and denied elsewhere`() async throws {
        let thread = try ConnectionThread(name: "isolation")
        let probe = Probe(thread: thread)
        #expect(thread.isIsolatingCurrentContext() == false)
        #expect(await probe.isIsolated() == true)
        #expect(await probe.assumesIsolationInCallback())
    }

    @Test func `a precondition off the thread stops the process`() async {
        await #expect(processExitsWith: .failure) {
            let thread = try ConnectionThread(name: "wrong")
            thread.checkIsolated()
        }
    }

    @Test func `a watched descriptor is reported when it becomes readable, and not once it is unwatched`() async throws
    {
        let pipe = try TestPipe()
        let probe = Probe(thread: try ConnectionThread(name: "watch"))
        let reader = await probe.beginReading(pipe.readEnd)
        var iterator = reader.makeAsyncIterator()
        pipe.write(7)
        #expect(await iterator.next() == 7)
        pipe.write(8)
        #expect(await iterator.next() == 8)
        await probe.endReading()
        pipe.write(9)
        // After a timer has fired, a turn of the loop that would have seen it has passed.
        await probe.wait(.milliseconds(5))
        #expect(await probe.bytesRead == 2)
    }

    @Test func `a descriptor that was closed by its peer is reported as readable`() async throws {
        let pipe = try TestPipe()
        let probe = Probe(thread: try ConnectionThread(name: "hangup"))
        let reader = await probe.beginReading(pipe.readEnd)
        var iterator = reader.makeAsyncIterator()
        pipe.closeWriteEnd()
        #expect(await iterator.next() == 0)
        await probe.endReading()
    }

    @Test func `descriptors are served while jobs keep coming`() async throws {
        let pipe = try TestPipe()
        let probe = Probe(thread: try ConnectionThread(name: "busy"))
        let reader = await probe.beginReading(pipe.readEnd)
        var iterator = reader.makeAsyncIterator()
        await probe.beginEnqueueingItself()
        pipe.write(1)
        #expect(await iterator.next() == 1)
        await probe.endReading()
        #expect(await probe.endEnqueueingItself() > 0)
    }

    @Test func `timers fire in the order of their deadlines and cancelled ones not at all`() async throws {
        let probe = Probe(thread: try ConnectionThread(name: "timers"))
        #expect(await probe.fireTimers() == ["early", "late"])
    }

    @Test func `a timer fires no earlier than its deadline`() async throws {
        let probe = Probe(thread: try ConnectionThread(name: "timer"))
        let deadline = MonotonicTime.now.advanced(by: .milliseconds(20))
        await probe.wait(.milliseconds(20))
        #expect(MonotonicTime.now >= deadline)
    }

    @Test func `what is put off to the end of the turn runs after every job of the batch`() async throws {
        let probe = Probe(thread: try ConnectionThread(name: "turn"))
        #expect(await probe.orderOfEndOfTurn() == ["job", "end", "end of end"])
    }

    @Test func `an isolated deinit runs on the thread`() async throws {
        let record = Record()
        for _ in 0..<100 {
            let probe = Owner(thread: try ConnectionThread(name: "deinit"), record: record)
            await probe.begin()
        }
        try await eventually { record.ended == 100 }
        #expect(record.endedElsewhere == 0)
    }

    @Test func `500 threads that came and went leave no thread and no descriptor behind`() async throws {
        let record = Record()
        let threads = countOfThreads()
        let descriptors = countOfDescriptors()
        for _ in 0..<500 {
            let probe = Owner(thread: try ConnectionThread(name: "passing"), record: record)
            await probe.begin()
        }
        try await eventually { record.ended == 500 }
        // The runtime's own pool may have grown meanwhile by as many threads as there are cores.
        let slack = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        try await eventually { countOfThreads() <= threads + slack && countOfDescriptors() <= descriptors }
        print("threads \(threads) → \(countOfThreads()), descriptors \(descriptors) → \(countOfDescriptors())")
        #expect(record.endedElsewhere == 0)
    }
}

/// An actor on a separate thread that uses all features of the thread.
private actor Probe {
    private let thread: ConnectionThread
    private var watch: ConnectionThread.WatchID?
    private(set) var bytesRead = 0
    private var spins = 0
    private var isSpinning = false

    init(thread: ConnectionThread) {
        self.thread = thread
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    func identity() -> UInt { UInt(pthread_self()) }

    func isIsolated() -> Bool? { thread.isIsolatingCurrentContext() }

    func assumesIsolationInCallback() async -> Bool {
        await withCheckedContinuation { continuation in
            let isolated = { [weak self] () -> Bool in
                self?.assumeIsolated { $0.thread.isCurrent } ?? false
            }
            thread.schedule(at: .now) { continuation.resume(returning: isolated()) }
        }
    }

    func beginReading(_ descriptor: Int32) -> AsyncStream<UInt8> {
        let (stream, continuation) = AsyncStream.makeStream(of: UInt8.self)
        watch = thread.watch(descriptor, for: .readable) { [weak self] events in
            guard events.contains(.readable) else { return }
            var byte: UInt8 = 0
            let count = read(descriptor, &byte, 1)
            self?.assumeIsolated { $0.bytesRead += count }
            continuation.yield(byte)
        }
        return stream
    }

    func endReading() {
        if let watch { thread.unwatch(watch) }
        watch = nil
    }

    func wait(_ duration: Duration) async {
        await withCheckedContinuation { continuation in
            thread.schedule(at: .now.advanced(by: duration)) { continuation.resume() }
        }
    }

    func beginEnqueueingItself() {
        isSpinning = true
        spin()
    }

    private func spin() {
        spins += 1
        guard isSpinning else { return }
        OrderedJob { [weak self] in self?.assumeIsolated { $0.spin() } }.run(on: thread)
    }

    func endEnqueueingItself() -> Int {
        isSpinning = false
        return spins
    }

    func fireTimers() async -> [String] {
        let (stream, continuation) = AsyncStream.makeStream(of: String.self)
        let now = MonotonicTime.now
        thread.schedule(at: now.advanced(by: .milliseconds(12))) { continuation.finish() }
        thread.schedule(at: now.advanced(by: .milliseconds(8))) { continuation.yield("late") }
        let cancelled = thread.schedule(at: now.advanced(by: .milliseconds(6))) { continuation.yield("never") }
        thread.schedule(at: now.advanced(by: .milliseconds(4))) { continuation.yield("early") }
        thread.cancel(cancelled)
        return await stream.reduce(into: []) { $0.append($1) }
    }

    func orderOfEndOfTurn() async -> [String] {
        let (stream, continuation) = AsyncStream.makeStream(of: String.self)
        thread.atEndOfTurn { [thread] in
            continuation.yield("end")
            thread.atEndOfTurn {
                continuation.yield("end of end")
                continuation.finish()
            }
        }
        continuation.yield("job")
        return await stream.reduce(into: []) { $0.append($1) }
    }
}

/// An actor that reports the thread on which it ended.
private actor Owner {
    private let thread: ConnectionThread
    private let record: Record
    private let pipe: TestPipe?

    init(thread: ConnectionThread, record: Record) {
        self.thread = thread
        self.record = record
        self.pipe = try? TestPipe()
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    func begin() {
        guard let pipe else { return }
        _ = thread.watch(pipe.readEnd, for: .readable) { _ in }
    }

    isolated deinit {
        record.note(onThread: thread.isCurrent)
    }
}

private final class Record: Sendable {
    private let counts = Locked((here: 0, elsewhere: 0))

    func note(onThread: Bool) {
        counts.withLock { counts in
            if onThread { counts.here += 1 } else { counts.elsewhere += 1 }
        }
    }

    var ended: Int { counts.withLock { $0.here + $0.elsewhere } }
    var endedElsewhere: Int { counts.withLock { $0.elsewhere } }
}
