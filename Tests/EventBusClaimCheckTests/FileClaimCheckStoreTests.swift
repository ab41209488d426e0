import EventBus
import EventBusClaimCheck
import EventBusInMemory
import EventBusTesting
import Foundation
import Glibc
import Testing

@Suite("File store for large bodies", .timeLimit(.minutes(1)))
struct FileClaimCheckStoreTests {
    private func withFolder(_ body: (URL) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bodies-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try await body(folder)
    }

    private func name(_ digit: Character = "a") throws -> ClaimCheckName {
        try #require(ClaimCheckName(rawValue: String(repeating: digit, count: 64)))
    }

    @Test("A body is stored, read, replaced and removed, in a file that its owner alone may read")
    func roundTrip() async throws {
        try await withFolder { folder in
            let store = try FileClaimCheckStore(directory: folder.path)
            let name = try name()
            #expect(try await store.get(name) == nil)
            for size in [0, 1, 100_000] {
                let body = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
                try await store.put(body, named: name)
                #expect(try await store.get(name) == body)
            }
            let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(files == [name.rawValue])
            var status = stat()
            #expect(stat(folder.path + "/\(name)", &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
            try await store.remove(name)
            try await store.remove(name)
            #expect(try await store.get(name) == nil)
        }
    }

    @Test("Only 64 lower-case hexadecimal digits are a name, so that none leads out of the folder")
    func names() throws {
        let digits = String(repeating: "0", count: 63)
        for text in [
            "", digits, digits + "00", digits + "A", digits + "g", digits + "/",
            "../" + digits.dropFirst(2), digits + "é",
        ] {
            #expect(ClaimCheckName(rawValue: text) == nil, "\(text)")
        }
        #expect(ClaimCheckName(rawValue: digits + "f") != nil)
    }

    @Test("A body beyond the maximum size is refused when it is stored, and not read")
    func bounded() async throws {
        try await withFolder { folder in
            let name = try name()
            try await FileClaimCheckStore(directory: folder.path).put([1, 2, 3], named: name)
            let small = try FileClaimCheckStore(directory: folder.path, maximumSize: 2)
            await #expect { try await small.put([1, 2, 3], named: name) } throws: {
                ($0 as? EventBusError)?.code == .tooLarge
            }
            await #expect { _ = try await small.get(name) } throws: {
                ($0 as? EventBusError)?.code == .unavailable
            }
        }
    }

    @Test("A symbolic link, a folder or a pipe in place of a body is not followed")
    func links() async throws {
        try await withFolder { folder in
            let store = try FileClaimCheckStore(directory: folder.path)
            let (link, inner, pipe) = (try name("a"), try name("b"), try name("c"))
            let secret = folder.appendingPathComponent("secret").path
            try Data("secret".utf8).write(to: URL(fileURLWithPath: secret))
            try FileManager.default.createSymbolicLink(
                atPath: folder.path + "/\(link)",
                withDestinationPath: secret
            )
            try FileManager.default.createDirectory(
                atPath: folder.path + "/\(inner)",
                withIntermediateDirectories: false
            )
            #expect(mkfifo(folder.path + "/\(pipe)", 0o600) == 0)
            for name in [link, inner, pipe] {
                await #expect { _ = try await store.get(name) } throws: {
                    ($0 as? EventBusError)?.code == .unavailable
                }
            }
            // Replaced by the body, not written through.
            try await store.put([1], named: link)
            #expect(try await store.get(link) == [1])
            #expect(try Data(contentsOf: URL(fileURLWithPath: secret)) == Data("secret".utf8))
        }
    }

    @Test("Old bodies and interrupted writes are removed, and nothing else")
    func retention() async throws {
        try await withFolder { folder in
            let store = try FileClaimCheckStore(directory: folder.path)
            let (old, new) = (try name("a"), try name("b"))
            for name in [old, new] { try await store.put([1], named: name) }
            let interrupted = ".partial-\(old)-7"
            for other in [interrupted, "notes.txt"] {
                try Data([1]).write(to: folder.appendingPathComponent(other))
            }
            for aged in [old.rawValue, interrupted, "notes.txt"] {
                try FileManager.default.setAttributes(
                    [.modificationDate: Date(timeIntervalSinceNow: -7200)],
                    ofItemAtPath: folder.path + "/" + aged
                )
            }
            #expect(try await store.removeAll(olderThan: .seconds(3600)) == 2)
            #expect(try await store.removeAll(olderThan: .seconds(Int64.max)) == 0)
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(Set(left) == [new.rawValue, "notes.txt"])
        }
    }

    @Test("A folder that does not exist, and one that disappears, are reported with the reason")
    func unavailable() async throws {
        try await withFolder { folder in
            #expect { _ = try FileClaimCheckStore(directory: folder.path + "/none") } throws: { error in
                (error as? EventBusError)?.code == .invalidConfiguration
                    && "\(error)".contains("No such file")
            }
            let store = try FileClaimCheckStore(directory: folder.path)
            try FileManager.default.removeItem(at: folder)
            let name = try name()
            await #expect { try await store.put([1], named: name) } throws: {
                ($0 as? EventBusError)?.code == .unavailable
            }
        }
    }

    @Test("A large event is handled with its body from the folder")
    func onTheBus() async throws {
        try await withFolder { folder in
            let broker = InMemoryBroker(clock: ManualClock())
            var configuration = EventBusConfiguration()
            configuration.claimCheck = ClaimCheck(
                store: try FileClaimCheckStore(directory: folder.path),
                threshold: 1000
            )
            let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
            let handled = Locked<[Letter]>([])
            bus.subscribe(to: Letter.self, group: "readers") { letter in
                handled.withLock { $0.append(letter) }
            }
            let letter = Letter(text: String(repeating: "Entchen ", count: 1000))
            try await bus.withRunning {
                try await bus.publish(letter)
                try await broker.settled()
            }
            #expect(handled.withLock { $0 } == [letter])
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
        }
    }
}

private struct Letter: Event, Equatable {
    static let topic: Topic = "letter.written"
    var text: String
}
