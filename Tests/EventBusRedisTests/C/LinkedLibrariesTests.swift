import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct LinkedLibrariesTests {
    @Test(arguments: [(0, 13, 3), (0, 14, 0)] as [(Int32, Int32, Int32)])
    func `a release with known vulnerabilities is recognized`(major: Int32, minor: Int32, patch: Int32) {
        #expect(LinkedLibraries.isVulnerable(major, minor, patch))
    }

    @Test(arguments: [(0, 14, 1), (1, 0, 0), (1, 2, 0)] as [(Int32, Int32, Int32)])
    func `a release without known vulnerabilities is recognized`(major: Int32, minor: Int32, patch: Int32) {
        #expect(!LinkedLibraries.isVulnerable(major, minor, patch))
    }

    @Test func `a release of OpenSSL that gets no fixes is recognized`() {
        // 1.0.2k, 1.1.1w, 3.0.0 and 3.5.1
        #expect([0x1000_20B0, 0x1010_117F].allSatisfy { LinkedLibraries.isUnsupported(openSSL: $0) })
        #expect(![0x3000_0000, 0x3050_0010].contains { LinkedLibraries.isUnsupported(openSSL: $0) })
    }

    @Test func `the releases are logged`() {
        let log = LogRecorder()
        LinkedLibraries.log(to: log.logger)
        #expect(log.lines.contains { $0.contains(LinkedLibraries.hiredis) && $0.contains("OpenSSL") })
    }
}
