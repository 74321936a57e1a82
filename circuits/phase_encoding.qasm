// phase_encoding: One value a wire as the phase of an equal superposition.
// Source: Schuld and Petruccione, Machine Learning with Quantum Computers
// Options: num_wires=4
// Qubits (q[0] is the least significant): data q[0], q[1], q[2], q[3]; ancilla none
// Parameters in radians, as declared: 0 weights w_..., 4 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] x_0000;
input float[64] x_0001;
input float[64] x_0002;
input float[64] x_0003;
qubit[4] q;
h q[3];
p(x_0000) q[3];
h q[2];
p(x_0001) q[2];
h q[1];
p(x_0002) q[1];
h q[0];
p(x_0003) q[0];
