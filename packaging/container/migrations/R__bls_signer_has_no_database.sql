-- Deployments of Web3Signer copy the migrations out of the image and have Flyway apply them. bls-signer keeps its slashing protection
-- in a file of its own: there is nothing to apply, and a history that is in the database stays as it is, to be exported. Without a
-- version, as Flyway would compare a first version with that of Web3Signer.
SELECT 1;
