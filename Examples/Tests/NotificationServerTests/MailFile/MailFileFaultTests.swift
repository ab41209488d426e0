import EventBus
import ServiceTestKit
import Testing

@testable import NotificationServer

@Suite("A mail file with a failing disk", .timeLimit(.minutes(1)))
struct MailFileFaultTests {
    private let storage = FaultyStorage()
    private let file: MailFile

    init() async throws {
        file = MailFile(path: "mail", logger: .quiet, openStorage: storage.opener)
        #expect(try await file.open())
    }

    private var whole: [MailMessage] {
        get throws { try ["1", "2"].map { try .sample($0) } }
    }

    @Test("A partially written message is removed before the next one", arguments: [0, 1, 100])
    func partialWrite(length: Int) async throws {
        let messages = try whole
        storage.failNextAppend(after: length)
        await #expect(throws: MailFileError.self) { try await file.send(messages[0]) }
        #expect(storage.bytes.count == length)
        #expect(try await file.send(messages[1]))
        #expect(try await file.send(messages[0]))
        #expect(storage.bytes == Array((messages[1].mailboxText + messages[0].mailboxText).utf8))
    }

    @Test("Messages that may not be on disk were not sent, and are written again")
    func lostWrite() async throws {
        let messages = try whole
        #expect(try await file.send(messages[0]))
        storage.failNextSynchronization()
        await #expect(throws: MailFileError.self) { try await file.send(messages[1]) }
        #expect(try await file.send(messages[1]))
        #expect(storage.bytes == Array(messages.map(\.mailboxText).joined().utf8))
        #expect(try await file.send(messages[0]) == false)
    }

    @Test("If the disk fails for several concurrent messages, none of them was sent")
    func lostTogether() async throws {
        let messages = try (0..<20).map { try MailMessage.sample("\($0)") }
        storage.failNextSynchronization()
        let failed = await withTaskGroup(of: MailMessage?.self, returning: [MailMessage].self) { [file] group in
            for message in messages {
                group.addTask { (try? await file.send(message)) == nil ? message : nil }
            }
            return await group.reduce(into: []) { if let message = $1 { $0.append(message) } }
        }
        #expect(!failed.isEmpty)
        for message in failed { #expect(try await file.send(message)) }
        var scanner = MailFileScanner(path: "mail")
        try scanner.read(storage.bytes[...])
        scanner.finish()
        #expect(scanner.messageIDs == Set(messages.map(\.id)))
        #expect(storage.bytes.count == messages.reduce(0) { $0 + $1.mailboxText.utf8.count })
    }

    @Test("A file that cannot be truncated is not written after a torn message")
    func uncuttable() async throws {
        let messages = try whole
        storage.failNextAppend(after: 10)
        await #expect(throws: MailFileError.self) { try await file.send(messages[0]) }
        storage.failNextCut()
        await #expect(throws: MailFileError.self) { try await file.send(messages[1]) }
        #expect(storage.bytes.count == 10)
        #expect(try await file.send(messages[1]))
        #expect(storage.bytes == Array(messages[1].mailboxText.utf8))
    }
}
