import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// Rounds through the dead letters that take long, end early or lose their connection. A letter is in one place after each,
/// and the count is that of what was done.
@Suite(.timeLimit(.minutes(3)))
struct LetterRoundTests {
    @Test func `a replay for which entries are held too long begins again and leaves nothing behind`() async throws {
        let scene = try await LetterScene()
        var limits = LetterReaderLimits()
        limits.maximumHold = .zero
        try await scene.running(with: 300) { [limits] in
            let read = Locked(0)
            let count = try await scene.letters(limits).replay(options: .init()) { letter in
                read.withLock { $0 += 1 }
                return LetterScene.isEven(letter)
            }
            #expect(count == 150)
            #expect(read.withLock { $0 } == 300, "each is read once")
            try await scene.expect(taken: 150, of: 300)
        }
    }

    @Test(arguments: [false, true])
    func `acknowledgements whose effect is not seen in time are made sure of`(holdsTooLong: Bool) async throws {
        let scene = try await LetterScene()
        var limits = LetterReaderLimits()
        limits.sentAhead = 0
        // As if another reader had received the witness.
        limits.returnTime = .zero
        if holdsTooLong { limits.maximumHold = .zero }
        try await scene.running(with: 120) { [limits] in
            let letters = scene.letters(limits)
            let replayed = try await letters.replay(options: .init(), where: LetterScene.isEven)
            #expect(replayed == 60)
            try await scene.expect(taken: 60, of: 120)
            let discarded = try await letters.discard { _ in true }
            #expect(discarded == 60)
            try await scene.wait(for: 0, in: "\(scene.group).dead")
        }
    }

    @Test func `a round that is enough replays what is in hand and reads no further letter`() async throws {
        let scene = try await LetterScene()
        try await scene.running(with: 1000) {
            let letters = scene.letters()
            let read = Locked(0)
            let enough: @Sendable () -> Bool = { read.withLock { $0 >= 150 } }
            let noted: @Sendable (DeadLetter) -> Bool = { _ in
                read.withLock { $0 += 1 }
                return true
            }
            let replayed = try await letters.replay(options: .init(), until: enough, where: noted)
            #expect(replayed == 150)
            #expect(read.withLock { $0 } == 150)
            try await scene.expect(taken: 150, of: 1000)
            read.withLock { $0 = 100 }
            let discarded = try await letters.discard(limit: nil, until: enough, where: noted)
            #expect(discarded == 50)
            #expect(read.withLock { $0 } == 150)
            try await scene.wait(for: 800, in: "\(scene.group).dead")
        }
    }

    @Test func `a replay that is cancelled leaves no letter in two places`() async throws {
        let scene = try await LetterScene()
        try await scene.running(with: 500) {
            let replay = Task {
                let read = Locked(0)
                return try await scene.letters().replay(options: .init()) { _ in
                    // In the middle of a batch.
                    if read.withLock({
                        $0 += 1
                        return $0
                    }) == 250 {
                        withUnsafeCurrentTask { $0?.cancel() }
                    }
                    return true
                }
            }
            await #expect(throws: CancellationError.self) { try await replay.value }
            let left = try await scene.transport.deadLetters(of: scene.group).count()
            #expect((1..<500).contains(left))
            try await scene.expect(taken: 500 - left, of: 500)
        }
    }

    @Test func `a replay that ends with the transport leaves no letter in two places`() async throws {
        let scene = try await LetterScene()
        let total = 2000
        let replay = try await scene.running(with: total) {
            let letters = scene.transport.deadLetters(of: scene.group)
            let replay = Task { try await letters.replayAll(options: .init(maximumPerSecond: 500)) }
            try await scene.wait(for: 100, in: scene.queue, orMore: true)
            return replay
        }
        let result = await replay.result
        let error = try #require(throws: EventBusError.self) { try result.get() }
        #expect(error.code == .shuttingDown)
        let count = try #require(error.completedCount)
        #expect((100..<total).contains(count))
        try await scene.expect(taken: count, of: total)
    }

    @Test func `a replay whose connection is lost says how many were replayed, and those have left`() async throws {
        let scene = try await LetterScene()
        let total = 2000
        try await scene.running(with: total) {
            let letters = scene.letters()
            let replay = Task { try await letters.replayAll(options: .init(maximumPerSecond: 500)) }
            try await scene.wait(for: 100, in: scene.queue, orMore: true)
            scene.proxy.cutAll()
            let error = await #expect(throws: EventBusError.self) { try await replay.value }
            #expect(error?.code == .unavailable)
            let count = try #require(error?.completedCount)
            #expect((100..<total).contains(count))
            #expect(error?.message.contains("\(count) dead letters") == true, "\(error?.message ?? "")")
            #expect(error?.message.contains("may be") == false, "\(error?.message ?? "")")
            try await scene.expect(taken: count, of: total)
        }
    }

    @Test func `a discard whose connection is lost says how many were discarded, and those have left`() async throws {
        let scene = try await LetterScene()
        let total = 4000
        try await scene.running(with: total) {
            let read = Locked(0)
            let error = await #expect(throws: EventBusError.self) {
                try await scene.letters().discard { letter in
                    let count = read.withLock {
                        $0 += 1
                        return $0
                    }
                    if count == 500 { scene.proxy.cutAll() }
                    return LetterScene.isEven(letter)
                }
            }
            #expect(error?.code == .unavailable)
            let count = try #require(error?.completedCount)
            #expect(count >= 250)
            try await scene.expect(taken: count, of: total, replayed: false)
        }
    }

    @Test(arguments: [1, 2, 15, 16, 17, 18, 33, 499, 500, 501])
    func `a limit leaves the rest in its place as soon as the round ends`(limit: Int) async throws {
        let scene = try await LetterScene()
        let total = 1100
        try await scene.running(with: total) {
            let letters = scene.letters()
            #expect(try await letters.discard(limit: limit) { _ in true } == limit)
            #expect(try await letters.count() == total - limit)
            #expect(try await letters.replayAll(options: .init(limit: limit)) == limit)
            #expect(try await letters.count() == total - 2 * limit)
            let next = try await letters.entries(limit: 1).first?.envelope.payload
            #expect(next == (2 * limit < total ? Array("\(2 * limit)".utf8) : nil))
            try await scene.expect(taken: limit, of: total - limit)
        }
    }
}
