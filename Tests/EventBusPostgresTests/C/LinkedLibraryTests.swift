import Testing

@testable import EventBusPostgres

struct LinkedLibraryTests {
    @Test(arguments: [90_624, 140_019, 150_014, 160_010, 170_006, 180_000] as [Int32])
    func `a release of libpq with known vulnerabilities is recognized`(number: Int32) {
        #expect(LinkedLibrary.isVulnerable(number))
    }

    @Test(arguments: [140_020, 150_015, 150_020, 170_007, 180_001, 190_000] as [Int32])
    func `a release of libpq without known vulnerabilities is recognized`(number: Int32) {
        #expect(!LinkedLibrary.isVulnerable(number))
    }

    @Test func `the release of libpq is written as PostgreSQL does`() {
        #expect(LinkedLibrary.version(150_020) == "15.20")
        #expect(LinkedLibrary.version(180_001) == "18.1")
    }
}
