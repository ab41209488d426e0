import EventBus
import Foundation
import ServiceLifecycle
import ServiceTestKit
import Synchronization
import Testing

@testable import NotificationServer

@Suite("A single writer of the mail file", .timeLimit(.minutes(2)))
struct MailFileOwnershipTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func file() -> MailFile {
        MailFile(path: scratch.path("mail.mbox"), logger: .quiet)
    }

    @Test("A second process waits, is not ready, and names the process it waits for")
    func second() async throws {
        let second = file()
        do {
            let first = try await opened(file())
            #expect(first.health.status == .ready)
            #expect(second.health.status == .notReady)
            #expect(try await second.open() == false)
            let reason = try #require(second.health.reason)
            #expect(
                reason.contains("is written by process \(ProcessInfo.processInfo.processIdentifier) on "),
                "\(reason)"
            )
            await #expect(throws: MailFileError.notOpen(path: scratch.path("mail.mbox"))) {
                try await second.send(.sample())
            }
            try await first.send(.sample())
        }
        _ = try await opened(second)
        #expect(second.health == ComponentHealth(name: "mail.file", status: .ready))
        #expect(try await second.send(.sample()) == false)
    }

    @Test("A link to a file of somebody else is not written through")
    func link() async throws {
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path("mail.mbox"),
            withDestinationPath: scratch.path("theirs")
        )
        await #expect(throws: MailFileError.self) { _ = try await file().open() }
        #expect(!FileManager.default.fileExists(atPath: scratch.path("theirs")))
    }

    @Test("The file is readable by its owner only")
    func mode() async throws {
        let file = try await opened(file())
        try await file.send(.sample())
        for name in ["mail.mbox", "mail.mbox.owner"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: scratch.path(name))
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600, "\(name)")
        }
    }

    @Test("If another process that has the file is killed, this one takes over")
    func otherProcess() async throws {
        let path = scratch.path("mail.mbox")
        let program = """
            import fcntl, os, sys
            file = open(sys.argv[1], "ab")
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b"From a@b Thu Feb  5 12:00:00 2026\\nTo: x")
            file.flush()
            open(sys.argv[1] + ".owner", "w").write("process %d on mars" % os.getpid())
            print("locked", flush=True)
            sys.stdin.read()
            """
        let child = try Child("python3", ["-c", program, path])
        #expect(await child.firstLine() == "locked")
        let file = file()
        #expect(try await file.open() == false)
        #expect(file.health.reason?.contains("process ") == true)
        #expect(file.health.reason?.contains(" on mars; waiting for its end") == true)
        try await child.kill()
        _ = try await opened(file)
        try await file.send(.sample())
        #expect(scratch.contents("mail.mbox") == Array(try MailMessage.sample().mailboxText.utf8))
    }

    @Test("The service starts to receive events when it has the file, and ends on request")
    func service() async throws {
        let opens = Mutex(0)
        let waiting = file()
        let service = MailFileService(file: waiting) { opens.withLock { $0 += 1 } }
        let group = ServiceGroup(services: [service], logger: .quiet)
        try await withThrowingTaskGroup { tasks in
            do {
                let first = try await opened(file())
                tasks.addTask { try await group.run() }
                try await eventually { waiting.health.reason?.contains("waiting") == true }
                #expect(opens.withLock { $0 } == 0)
                try await first.send(.sample())
            }
            try await eventually { opens.withLock { $0 } == 1 }
            #expect(waiting.health.status == .ready)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        #expect(opens.withLock { $0 } == 1)
        // Handlers that are still running may write.
        #expect(try await waiting.send(.sample("2")))
    }

    @Test("A service that waits for the file ends on request without receiving events")
    func shutdownWhileWaiting() async throws {
        let opens = Mutex(0)
        let first = try await opened(file())
        let waiting = file()
        let service = MailFileService(file: waiting) { opens.withLock { $0 += 1 } }
        let group = ServiceGroup(services: [service], logger: .quiet)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            try await eventually { waiting.health.reason?.contains("waiting") == true }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        #expect(opens.withLock { $0 } == 0)
        try await first.send(.sample())
    }

    @Test("A file that can never be written ends the service with the reason")
    func failure() async throws {
        try scratch.write("not mail\n".utf8, to: "mail.mbox")
        let service = MailFileService(file: file()) {}
        await #expect(throws: MailFileError.notMailFile(path: scratch.path("mail.mbox"), offset: 0)) {
            try await ServiceGroup(services: [service], logger: .quiet).run()
        }
    }
}
